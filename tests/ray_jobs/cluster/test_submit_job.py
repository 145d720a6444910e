"""The words after `submit`: what is refused before any cluster is asked."""

from types import SimpleNamespace

import pytest

from ray_jobs.cli import main
from ray_jobs.exit_codes import BAD_INPUT, DONE

EXPERIMENT = "workload: {name: toy}\ntraining: {epochs: 1}\n"


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys):
    """The message of a submit in a folder with `toy.yaml`, where no cluster runs."""
    (tmp_path / "toy.yaml").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)

    def refuse(*words: str) -> str:
        assert main(["submit", *words, "--address", "http://127.0.0.1:1"]) == BAD_INPUT
        return capsys.readouterr().err

    return refuse


@pytest.mark.parametrize("words", [["toy.yaml"], ["train", "toy.yaml"], ["--detach", "evaluate", "toy.yaml", "--json"]])
def test_a_good_command_gets_as_far_as_the_cluster(refusal, words):
    assert "no Ray cluster answers at http://127.0.0.1:1" in refusal(*words)


@pytest.mark.parametrize("words", [[], ["--attach", "a", "--stop", "b"], ["--attach", "a", "train", "toy.yaml"]])
def test_one_thing_at_a_time(refusal, words):
    assert "write it as submit [VERB] EXPERIMENT " in refusal(*words)


def test_what_the_command_refuses_is_refused_before_sending(refusal):
    assert "training.epoch: there is no such setting" in refusal("toy.yaml", "--set", "training.epoch=1")
    assert "unknown argument '--num-samples'" in refusal("toy.yaml", "--num-samples", "3")
    assert "did you mean 'train'" in refusal("trian", "toy.yaml")
    assert "absent.yaml: there is no such file" in refusal("absent.yaml")
    assert "train needs an experiment" in refusal("train")


@pytest.mark.parametrize("words", [["demo/pruning"], ["evaluate", "demo/pruning.yaml"]])
def test_a_built_in_experiment_goes_by_its_name(refusal, monkeypatch, words):
    assert "no Ray cluster answers" in refusal(*words)
    sent = []
    monkeypatch.setattr("ray_jobs.cluster.submit_job._connect", lambda address: SimpleNamespace(address=address))
    monkeypatch.setattr("ray_jobs.cluster.submit_job.send", lambda client, command, *_: sent.append(command))
    assert main(["submit", *words, "--set", "seed=1", "--detach"]) == DONE
    assert sent == [[*(words if len(words) > 1 else ["train", *words]), "--set", "seed=1"]]


def test_a_model_of_w_and_b_is_left_for_the_cluster_to_fetch(refusal):
    settings = ["--set", "workload={name: pruning, pretrained: 'wandb:team/project/name:best'}"]
    assert "no Ray cluster answers" in refusal("toy.yaml", *settings)


def test_an_experiment_that_the_package_does_not_hold_is_refused(refusal, tmp_path, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "other.yaml"
    elsewhere.write_text(EXPERIMENT)
    assert f"{elsewhere} does not go to the cluster" in refusal(str(elsewhere))
    assert "no Ray cluster answers" in refusal(str(tmp_path / "toy.yaml"))
    (tmp_path / ".rayignore").write_text("toy.yaml\n")
    assert "toy.yaml does not go to the cluster" in refusal("toy.yaml")


def test_a_secret_in_the_folder_is_refused(refusal, tmp_path):
    (tmp_path / ".env").write_text("x")
    assert "secrets would go to the cluster" in refusal("toy.yaml")


def test_variables_go_by_name_and_their_values_are_not_printed(refusal, monkeypatch, capsys):
    sent, client = [], SimpleNamespace(address="http://h", submit=lambda *given: sent.append(given))
    monkeypatch.setattr("ray_jobs.cluster.submit_job._connect", lambda address: client)
    monkeypatch.setenv("MY_KEY", "s3cret-value")
    assert main(["submit", "toy.yaml", "--env", "MY_KEY", "--detach"]) == DONE
    [(line, _, variables, job)] = sent
    assert variables["MY_KEY"] == "s3cret-value" and "RAY_JOB_STOP_WAIT_TIME_S" in variables
    out = "".join(capsys.readouterr())
    assert "the job gets MY_KEY; their values are in Ray's job information" in out
    assert "s3cret-value" not in out + line + job


@pytest.mark.parametrize(
    "words, message",
    [
        (["toy.yaml", "--env", "NOT_SET_HERE"], "--env NOT_SET_HERE: this variable is not set here; export it first"),
        (["toy.yaml", "--env", "A=s3cret"], "export A here, and give --env A"),
        (["toy.yaml", "--env", "RAY_ADDRESS"], "--env RAY_ADDRESS: Ray's own variables are set where"),
        (["--attach", "a", "--env", "HOME"], "--env is for a new job"),
    ],
)
def test_variables_that_cannot_go_are_refused(refusal, monkeypatch, words, message):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    found = refusal(*words)
    assert message in found and "s3cret" not in found
