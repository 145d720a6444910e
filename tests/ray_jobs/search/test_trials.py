"""The record of a search on disk."""

from data_pipelines.storage.folder import Folder
from ray_jobs.search.trials import TRIALS, Mutation, Trial, Trials, find_mutations, read_history

TRIAL = Trial(number=0, point=0, base=0, label="toy", seed=1, values={"a.b": [1, 2]})


def test_the_last_line_of_a_trial_counts(tmp_path):
    folder = Folder(str(tmp_path))
    trials = Trials(folder)
    trials.put(TRIAL)
    trials.put(TRIAL.change(state="finished", objectives=(0.5, 2.0), metrics={"m": 0.5}))
    trials.put(TRIAL.change(number=1, point=1))
    again = Trials(folder)
    assert list(again) == list(trials) and len(again) == 2
    assert again[0].state == "finished" and again[0].objectives == (0.5, 2.0)


def test_a_torn_line_is_as_if_it_never_was(tmp_path):
    folder = Folder(str(tmp_path))
    trials = Trials(folder)
    trials.put(TRIAL)
    with (tmp_path / TRIALS).open("ab") as file:
        file.write(b'{"number": 1, "poi')
    again = Trials(folder)
    assert list(again) == [TRIAL]
    again.put(TRIAL.change(number=1))
    assert [trial.number for trial in Trials(folder)] == [0, 1]


def test_what_changes_all_the_time_is_kept_in_memory_alone(tmp_path):
    folder = Folder(str(tmp_path))
    trials = Trials(folder)
    trials.put(TRIAL)
    trials.put(TRIAL.change(step=5), is_kept=False)
    assert trials[0].step == 5 and Trials(folder)[0].step == 0


def test_mutations_of_a_running_trial_are_found_in_order(tmp_path):
    folder = Folder(str(tmp_path))
    trials = Trials(folder)
    assert find_mutations(read_history(folder)) == []
    for values, epoch in (({"a": 1, "b": 2}, 0), ({"a": 1, "b": 2}, 3), ({"a": 1, "b": 4}, 3), ({"a": 5, "b": 4}, 6)):
        trials.put(TRIAL.change(values=values, epoch=epoch))
        trials.put(TRIAL.change(number=1, values={"a": 1, "b": 2}, epoch=epoch))
    assert find_mutations(read_history(folder)) == [Mutation(0, 3, "b", 2, 4), Mutation(0, 6, "a", 1, 5)]
