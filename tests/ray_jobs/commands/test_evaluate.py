"""The `evaluate` verb on the toy workload: what it scores, its options, and what it refuses."""

import json
import re
import shutil
from typing import Any

import pytest
import yaml

from ray_jobs.cli import BAD_INPUT, DONE, FAILED, main
from tests.ray_jobs.command import call, fail

pytestmark = pytest.mark.slow


def test_train_and_evaluate_agree_on_the_best_models_metrics(file, tmp_path, capsys):
    code, trained, _ = call(capsys, "train", file)
    assert code == DONE
    assert (trained["run_id"], trained["folder"]) == ("toy-run", str(tmp_path / "storage/runs/toy-run"))
    assert {"train/loss", "test/mse", "baseline/test/mse"} <= trained["metrics"].keys()
    final = json.loads((tmp_path / "storage/runs/toy-run/final_metrics.json").read_text())
    assert trained["metrics"] == final["metrics"]

    code, evaluated, _ = call(capsys, "evaluate", file)
    assert code == DONE
    assert evaluated["metrics"] == {name: final["best_metrics"][name] for name in ("test/mse", "baseline/test/mse")}
    assert evaluated["checkpoint"] == f"{trained['folder']}/{final['best_model']}"
    assert (trained["best_model"], trained["best_metrics"]) == (final["best_model"], final["best_metrics"])
    assert json.loads((tmp_path / "storage/runs/toy-run/evaluations/001/metrics.json").read_text()) == evaluated


def test_a_training_in_mixed_precision_is_evaluated_in_it_too(file, tmp_path, capsys):
    words = ["--set", "training.precision=bf16", "--set", "tracking.run_name=bf16"]
    code, _, _ = call(capsys, "train", file, *words)
    final = json.loads((tmp_path / "storage/runs/bf16/final_metrics.json").read_text())
    again, evaluated, _ = call(capsys, "evaluate", file, *words)
    assert (code, again) == (DONE, DONE)
    assert evaluated["metrics"]["test/mse"] == final["best_metrics"]["test/mse"]


def test_a_checkpoint_is_evaluated_with_its_averaged_weights(file, tmp_path, capsys):
    assert main(["train", str(file)]) == DONE
    run = tmp_path / "storage/runs/toy-run"
    code, evaluated, _ = call(capsys, "evaluate", file, "--checkpoint", run / "checkpoints/step_000000008")
    assert code == DONE and evaluated["step"] == 8
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert evaluated["metrics"]["test/mse"] == rows[7]["test/mse"]


def test_every_evaluation_is_kept_after_an_older_is_deleted(file, tmp_path, capsys):
    assert main(["train", str(file)]) == DONE
    folder = tmp_path / "storage/runs/toy-run/evaluations"
    for _ in range(2):
        assert main(["evaluate", str(file)]) == DONE
    assert (folder / "001/metrics.json").read_bytes() == (folder / "002/metrics.json").read_bytes()
    shutil.rmtree(folder / "001")
    assert main(["evaluate", str(file)]) == DONE
    assert sorted(path.name for path in folder.iterdir()) == ["002", "003"]


@pytest.mark.parametrize("name", ["model.safetensors", "task.pt", "metadata.json", "manifest.json"])
def test_a_damaged_model_is_named_and_not_evaluated(file, tmp_path, capsys, name):
    assert main(["train", str(file)]) == DONE
    run = tmp_path / "storage/runs/toy-run"
    model = run / "models" / json.loads((run / "models/aliases.json").read_text())["best"]
    content = (model / name).read_bytes()
    (model / name).write_bytes(content[: len(content) // 2])
    code, message = fail(capsys, "evaluate", file)
    assert code in (FAILED, BAD_INPUT)
    assert str(model) in message and name in message
    assert not (run / "evaluations/001/metrics.json").exists()


def test_evaluate_before_train_says_what_to_do(file, tmp_path, capsys):
    code, message = fail(capsys, "evaluate", file)
    assert code == BAD_INPUT
    assert f"{tmp_path / 'storage/runs/toy-run'} holds no model yet; train first" in message
    assert "--checkpoint" in message


def test_a_checkpoint_that_is_not_there_is_bad_input(file, tmp_path, capsys):
    code, message = fail(capsys, "evaluate", file, "--checkpoint", tmp_path / "nowhere")
    assert code == BAD_INPUT
    assert str(tmp_path / "nowhere") in message


def test_a_model_of_another_architecture_is_refused_by_key(file, tmp_path, capsys):
    assert main(["train", str(file)]) == DONE
    model = tmp_path / "storage/runs/toy-run/checkpoints/step_000000008"
    others = ["--set", "workload.width=9", "--set", "tracking.run_name=other"]
    code, message = fail(capsys, "evaluate", file, *others, "--checkpoint", model)
    assert code in (FAILED, BAD_INPUT)
    assert "another architecture" in message and "0.weight: (8, 8) instead of (9, 8)" in message


@pytest.fixture
def changes(tmp_path, monkeypatch):
    """A function that returns the settings changed by words after `evaluate EXPERIMENT.yaml`."""
    file = tmp_path / "flow.yaml"
    file.write_text("workload: {name: flow_matching}\ntraining: {epochs: 1}\n")
    seen: list[dict[str, Any]] = []

    def keep(experiment, checkpoint, changes):
        seen.append(changes)
        return {"checkpoint": "", "metrics": {}, "messages": [], "pictures": [], "predictions": None}

    monkeypatch.setattr("ray_jobs.commands.evaluate.evaluate", keep)

    def parse(*words: str, before: tuple[str, ...] = ()) -> dict[str, Any]:
        assert main(["evaluate", *before, str(file), *words]) == DONE
        return seen.pop()

    parse.file = file  # pyright: ignore
    return parse


def test_evaluate_options_become_dotted_settings_of_yaml_types(changes):
    assert changes() == {}
    assert changes("--num-samples", "500") == {"workload.evaluation.num_samples": 500}
    assert changes("--num-samples=500", "--solver", "heun", "--tolerance", "1e-3") == {
        "workload.evaluation.num_samples": 500,
        "workload.evaluation.sampling.solver": "heun",
        "workload.evaluation.sampling.tolerance": 1e-3,
    }
    assert changes("--nfe", "null", "--guidance=0") == {
        "workload.evaluation.sampling.nfe": None,
        "workload.evaluation.sampling.guidance": 0,
    }


@pytest.mark.parametrize(
    ("words", "folders"),
    [
        (["--benchmark", "/data/Set5"], ["/data/Set5"]),
        (["--benchmark", "/data/Set5", "--benchmark=/data/a: b #1"], ["/data/Set5", "/data/a: b #1"]),
        (["--benchmark", "[/data/Set5, /data/Set14]", "--benchmark", "B100"], ["/data/Set5", "/data/Set14", "B100"]),
        (["--benchmark", "null"], None),
    ],
)
def test_an_option_of_several_paths_may_be_repeated(changes, words, folders):
    changes.file.write_text("workload: {name: super_resolution}\ntraining: {epochs: 1}\n")
    assert changes(*words, "--split", "test") == {
        "workload.evaluation.benchmark": folders,
        "workload.evaluation.split": "test",
    }


def test_evaluation_options_may_stand_between_common_ones(changes):
    words = ["--json", "--num-samples", "5", "--set", "seed=3", "--metric", "is", "--checkpoint", "x"]
    assert changes(*words) == {"workload.evaluation.num_samples": 5, "workload.evaluation.metric": "is"}


def test_evaluation_options_may_stand_before_the_experiment(changes):
    expected = {"workload.evaluation.num_samples": 5, "workload.evaluation.sampling.solver": "heun"}
    assert changes("--solver", "heun", before=("--num-samples", "5")) == expected


def test_help_with_an_experiment_shows_the_workloads_options(changes, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["evaluate", "--help", str(changes.file), "--set", "workload.evaluation.num_samples=77"])
    text = capsys.readouterr().out
    assert ending.value.code == DONE and "options of the workload flow_matching" in text
    assert re.search(r"--num-samples VALUE +workload\.evaluation\.num_samples, now 77\n", text)
    assert re.search(r'--solver VALUE +workload\.evaluation\.sampling\.solver, now "', text)


def test_help_without_an_experiment_says_how_to_see_them(capsys):
    with pytest.raises(SystemExit) as ending:
        main(["evaluate", "--help"])
    text = capsys.readouterr().out
    assert ending.value.code == DONE
    assert "quintet evaluate EXPERIMENT --help" in text and "--num-samples VALUE" not in text


@pytest.mark.parametrize("word", ["--num-sample", "--num-sample=5"])
def test_an_unknown_evaluate_option_gets_a_suggestion(changes, capsys, word):
    code, message = fail(capsys, "evaluate", changes.file, word)
    assert code == BAD_INPUT
    assert message.startswith(f"unknown argument {word!r}; did you mean 'num-samples'? allowed: ")


def test_an_evaluation_option_without_a_value_is_refused(changes, capsys):
    assert fail(capsys, "evaluate", changes.file, "--num-samples") == (BAD_INPUT, "--num-samples needs a value")


def test_a_loose_word_is_refused(changes, capsys):
    code, message = fail(capsys, "evaluate", changes.file, "heun")
    assert code == BAD_INPUT and message.startswith("unknown argument 'heun'")


def test_evaluation_options_belong_to_evaluate_alone(changes, capsys):
    code, message = fail(capsys, "train", changes.file, "--num-samples", "5")
    assert code == BAD_INPUT and message.startswith("unknown argument '--num-samples'")


def test_a_wrong_evaluate_option_is_named_by_its_dotted_key(file, tmp_path, capsys):
    settings = yaml.safe_load(file.read_text())
    settings["workload"] = {"name": "flow_matching", "data": {"source": "digits"}}
    file.write_text(yaml.safe_dump(settings))
    code, message = fail(capsys, "evaluate", file, "--checkpoint", tmp_path, "--num-samples", "many")
    assert code == BAD_INPUT
    assert "workload.evaluation.num_samples: Input should be a valid integer (given: 'many')" in message
