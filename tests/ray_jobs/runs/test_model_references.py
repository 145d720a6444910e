"""Models by path and by the name of a run."""

import pytest

from ray_jobs.commands.evaluate import evaluate
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.model_references import best_model, locate_model
from ray_jobs.runs.training import train

pytestmark = pytest.mark.slow


@pytest.fixture
def run(toy):
    experiment = toy(training={"epochs": 1}, tracking={"run_name": "my-run"})
    train(experiment)
    return experiment


@pytest.mark.parametrize(
    "reference", ["my-run", "my-run:best", "my-run:latest", "{folder}", "{folder}/models/{version}"]
)
def test_a_model_is_found_by_path_run_folder_or_run_name(run, reference):
    version = run.folder.names("models")[-1]
    reference = reference.format(folder=run.folder, version=version)
    assert str(locate_model(reference, run.storage.path)) == f"{run.folder}/models/{version}"


def test_a_run_is_also_found_by_the_name_that_was_made_for_it(toy):
    experiment = toy(training={"epochs": 1})
    train(experiment)
    name = experiment.folder.read_json("run.json")["name"]
    assert name.startswith("toy_") and name != experiment.run_id
    assert locate_model(name, experiment.storage.path).path.startswith(experiment.folder.path)


def test_what_is_not_there_is_named_with_the_nearest_run(run):
    with pytest.raises(ValueError, match=r"'my-rum' has the form of a run's name, .* did you mean 'my-run'"):
        locate_model("my-rum", run.storage.path)
    with pytest.raises(ValueError, match="'worst' names no model"):
        locate_model("my-run:worst", run.storage.path)


def test_a_name_and_a_path_are_told_apart_by_their_form(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-run").mkdir()  # of the same name as the run
    assert locate_model("my-run", run.storage.path).path.startswith(run.folder.path)
    assert locate_model("./my-run", run.storage.path).path == str(tmp_path / "my-run")
    with pytest.raises(ValueError, match=r"/nowhere/my-run does not exist"):
        locate_model("/nowhere/my-run", run.storage.path)
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"'other' has the form of a run's name, .* here write \./other"):
        locate_model("other", run.storage.path)


def test_a_damaged_neighbour_keeps_no_run_from_being_found(run, caplog):
    for number, content in enumerate((b"", b"[1]", b"\xff\xfe")):
        (run.folder.parent / f"broken{number}").write("run.json", content)
    assert locate_model("my-run", run.storage.path).path.startswith(run.folder.path)
    for number in range(3):
        assert f"broken{number}/run.json" in caplog.text
    with pytest.raises(ValueError, match="did you mean 'broken1'"):
        locate_model("broken1x", run.storage.path)
    with pytest.raises(ValueError, match="holds no model yet"):
        locate_model("broken1", run.storage.path)


def test_a_run_without_models_says_so(run):
    run.folder.delete("models")
    with pytest.raises(ValueError, match="holds no model yet"):
        best_model(run.folder)


def test_a_name_that_two_runs_have_is_refused(toy):
    for seed in (1, 2):
        experiment = toy(training={"epochs": 1}, seed=seed)
        train(experiment)
        identity = experiment.folder.read_json("run.json")
        experiment.folder.write_json("run.json", {**identity, "name": "twin"})
    with pytest.raises(ValueError, match="2 runs are called 'twin'"):
        locate_model("twin", experiment.storage.path)


def test_evaluate_takes_the_name_of_a_run(run):
    summary = evaluate(run, "my-run", {})
    assert summary["metrics"] == evaluate(run, None, {})["metrics"]


def test_a_setting_that_names_a_model_takes_the_name_of_a_run(run, tmp_path):
    file = tmp_path / "reflow.yaml"
    settings = f"workload: {{name: flow_matching, reflow: {{teacher: my-run}}}}\nstorage: {{path: {tmp_path}}}\n"
    file.write_text(f"{settings}training: {{epochs: 1}}\n")
    version = run.folder.names("models")[-1]
    experiment = load_experiment(file)
    assert str(experiment.workload.reflow.teacher) == f"{run.folder}/models/{version}"  # pyright: ignore
    elsewhere = load_experiment(file, [f"storage.path={tmp_path / 'empty'}"])
    assert elsewhere.workload.reflow.teacher.name == "my-run"  # pyright: ignore


def test_a_setting_that_names_a_model_may_ask_for_the_last(run, tmp_path):
    aliases = run.folder.read_json("models/aliases.json")
    run.folder.write_json("models/aliases.json", {**aliases, "latest": "step_last"})
    file = tmp_path / "reflow.yaml"
    settings = (
        f"workload: {{name: flow_matching, reflow: {{teacher: 'my-run:latest'}}}}\nstorage: {{path: {tmp_path}}}\n"
    )
    file.write_text(f"{settings}training: {{epochs: 1}}\n")
    experiment = load_experiment(file)
    assert str(experiment.workload.reflow.teacher) == f"{run.folder}/models/step_last"  # pyright: ignore
    with pytest.raises(ValueError, match="'worst' names no model"):
        load_experiment(file, ["workload.reflow.teacher=my-run:worst"])


def test_a_setting_may_be_an_artifact(tmp_path, monkeypatch):
    asked = []

    def download(reference, into):
        asked.append((reference, into))
        return tmp_path / "there"

    monkeypatch.setattr("ray_jobs.tracking.wandb_objects.download_artifact", download)
    file = tmp_path / "reflow.yaml"
    teacher = "wandb:team/project/name:best"
    file.write_text(f"workload: {{name: flow_matching, reflow: {{teacher: '{teacher}'}}}}\ntraining: {{epochs: 1}}\n")
    experiment = load_experiment(file, [f"storage.path={tmp_path}"])
    assert experiment.workload.reflow.teacher == tmp_path / "there"  # pyright: ignore
    assert asked == [(teacher, tmp_path / "downloads")]
