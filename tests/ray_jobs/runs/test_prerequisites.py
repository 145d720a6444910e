"""`after`: one command trains what an experiment builds on, then the experiment itself."""

import json
from pathlib import Path

import pytest
import yaml

from data_pipelines.storage.checksums import hash_file
from ray_jobs.cli import BAD_INPUT, DONE, main
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.prerequisites import earlier_experiments

DATA = {"sample_rate": 1000, "num_samples": 128, "synthetic": {"num_subjects": 12, "duration_s": 4.0}}
ENCODER = {"channels": [4, 4, 6, 8], "num_layers": 1, "state_size": 2}


@pytest.fixture
def chain(tmp_path) -> Path:
    """`second.yaml`, linear evaluation on the encoder of `deep/first.yaml`; their storage is given by --set."""
    for name, workload, more in (
        ("deep/first.yaml", {"name": "heart_sound_pretrain"}, {"tracking": {"run_name": "one", "project": "other"}}),
        (
            "second.yaml",
            {"name": "heart_sound_finetune", "mode": "linear", "pretrained": "one"},
            {"tracking": {"run_name": "two"}, "after": ["deep/first.yaml"]},
        ),
    ):
        settings = {
            "workload": {**workload, "data": DATA, "encoder": ENCODER},
            "training": {"epochs": 1, "batch_size": 16},
            **more,
        }
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(yaml.safe_dump(settings))
    return tmp_path / "second.yaml"


@pytest.fixture
def call(chain, capsys):
    """Exit code, standard output and its last line as JSON, standard error of one verb on the chain."""

    def run(verb: str, *words: str, storage: str = "out"):
        changes = ("scaling.num_workers=0", "scaling.threads_per_worker=1", f"storage.path={chain.parent / storage}")
        place = [word for change in changes for word in ("--set", change)]
        code = main([verb, str(chain), *place, *words, "--json"])
        captured = capsys.readouterr()
        return code, captured.out, json.loads(captured.out.splitlines()[-1]), captured.err

    return run


def log_of(chain: Path, run: str) -> str:
    return (chain.parent / f"out/runs/{run}/train.log").read_text()


@pytest.mark.slow
def test_prerequisites_train_once_and_their_model_is_recorded(chain, call):
    code, out, summary, _ = call("train")
    assert code == DONE and summary["run_id"] == "two"
    assert out.index("run one in") < out.index("run two in")
    run = chain.parent / "out/runs/two"
    best = json.loads((chain.parent / "out/runs/one/models/aliases.json").read_text())["best"]
    [model] = [item for item in json.loads((run / "inputs.json").read_text()) if item["type"] == "input"]
    assert model["name"] == f"one-{best}" and model["path"] == str(chain.parent / f"out/runs/one/models/{best}")
    digest = hash_file(Path(model["path"]) / "manifest.json")
    assert model["metadata"] == {
        "setting": "workload.pretrained", "run_id": "one", "run": "one", "sha256": digest
    }  # fmt: skip
    assert json.loads((run / "experiment.json").read_text())["workload"]["pretrained"] == model["path"]

    assert call("show")[2]["after"] == {"one": True}
    assert call("train", "--new")[0] == DONE
    assert log_of(chain, "one").count("resumed") == 0 and (run / "earlier/001/metrics.jsonl").exists()
    assert not (chain.parent / "out/runs/one/earlier").exists()
    assert "one is already finished" in log_of(chain, "one") and "already finished" not in log_of(chain, "two")


def test_a_prerequisite_inherits_placement_and_tracking(chain):
    words = ["storage.path=/elsewhere", "scaling.num_workers=3", "tracking.wandb=true", "tracking.group=g"]
    later = load_experiment(chain, [*words, "tracking.run_name=mine", "workload.loss.focal_gamma=0.0", "seed=5"])
    [earlier] = earlier_experiments(later)
    assert earlier.run_id == "one" and later.run_id == "mine"
    assert (earlier.scaling, earlier.storage) == (later.scaling, later.storage)
    assert earlier.tracking == later.tracking.model_copy(update={"run_name": "one"})
    assert earlier.run == load_experiment(chain.parent / "deep/first.yaml").run  # what is learnt stays its own


def test_a_prerequisite_that_no_setting_names_is_left_out(chain, caplog):
    changes = [f"storage.path={chain.parent}/out", "workload.pretrained=null", "workload.mode=full"]
    assert not list(earlier_experiments(load_experiment(chain, changes)))
    assert "after: first.yaml is not needed, as no setting names its run (one)" in caplog.text
    search = "search={space: {workload.pretrained: [null, one]}}"
    [earlier] = earlier_experiments(load_experiment(chain, [*changes, search]))
    assert earlier.run_id == "one"


def test_commands_name_the_missing_model_and_show_needs_none(call):
    code, out, summary, _ = call("show")
    assert code == DONE and summary["after"] == {"one": False}
    assert "after:            one, to be trained\n" in out
    for verb in ("prepare", "evaluate"):
        code, _, _, message = call(verb)
        assert code == BAD_INPUT
        assert "`train` trains first what `after` names" in message or "two holds no model yet; train first" in message


def test_an_input_that_no_prerequisite_makes_is_refused(chain, call):
    code, _, summary, _ = call("train", "--set", "workload.pretrained=nobody")
    assert code == BAD_INPUT and "workload.pretrained: 'nobody' has the form of a run's name" in summary["error"]
    assert not (chain.parent / "out").exists()


def test_missing_and_circular_prerequisites_are_named(chain, call):
    first = chain.parent / "deep/first.yaml"
    settings = yaml.safe_load(first.read_text())
    for after, message in (
        (["../second.yaml"], "these experiments wait for each other: first.yaml -> second.yaml -> first.yaml"),
        (["absent.yaml"], "deep/absent.yaml: there is no such file"),
        ("third.yaml", "after: Input should be a valid array"),
    ):
        first.write_text(yaml.safe_dump({**settings, "after": after}))
        code, _, summary, _ = call("train")
        assert code == BAD_INPUT and message in summary["error"]
