"""The command line in this process, on the toy workload: exit codes, hints, and the line of JSON."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_jobs import cli, verbs
from ray_jobs.cli import BAD_INPUT, DONE, FAILED, main
from tests.conftest import TOY_TRAINING
from trainables.train_worker import RunError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    settings = {
        "workload": {"name": "toy", "num_rows": 32},
        "training": {**TOY_TRAINING, "epochs": 2},
        "scaling": {"num_workers": 0, "threads_per_worker": 1},
        "storage": {"path": str(tmp_path / "storage")},
        "tracking": {"run_name": "toy-run"},
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def call(capsys, *arguments: Any) -> tuple[int, dict[str, Any], str]:
    """Exit code, the line of JSON, and standard error of one command with --json."""
    code = main([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    summary = json.loads(captured.out.splitlines()[-1])
    assert isinstance(summary, dict)
    return code, summary, captured.err


def fail(capsys, *arguments: Any) -> tuple[int, str]:
    """Exit code and message of a command that must fail; standard error ends with what the JSON says."""
    code, summary, err = call(capsys, *arguments)
    assert list(summary) == ["error"]
    assert err.endswith(f"error: {summary['error']}\n") and "Traceback" not in err
    return code, summary["error"]


def test_show_tells_size_and_data_and_writes_nothing(file, tmp_path, capsys):
    code, summary, _ = call(capsys, "show", file)
    assert code == DONE
    weights = 8 * 8 + 8 + 2 * 8 + 8 + 1  # linear, norm, linear
    assert summary["parameters"] == weights
    assert summary["macs"] == 8 * 8 + 8
    assert (summary["train_rows"], summary["steps_per_epoch"], summary["prepared"]) == (32, 4, None)
    assert (summary["run_id"], summary["data"]) == ("toy-run", "made-up points")
    assert not (tmp_path / "storage").exists()


def test_show_prints_settings_that_load_as_the_same_experiment(file, tmp_path, capsys):
    assert main(["show", str(file), "--set", "training.batch_size=16"]) == DONE
    shown = capsys.readouterr().out.partition("---\n")[0]
    copy = tmp_path / "copy.yaml"
    copy.write_text(shown)
    assert verbs.load_experiment(copy) == verbs.load_experiment(file, ["training.batch_size=16"])


def test_prepare_tells_the_folder_and_its_rows(file, tmp_path, capsys):
    code, summary, _ = call(capsys, "prepare", file)
    assert code == DONE
    assert summary == {"folder": str(tmp_path / "storage/data/toy-32-None"), "rows": {"train": 32, "test": 16}}
    assert (Path(summary["folder"]) / "manifest.json").is_file()


def test_train_and_evaluate_agree_on_the_metrics_of_the_best_model(file, tmp_path, capsys):
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
    assert json.loads((tmp_path / "storage/runs/toy-run/evaluations/001/metrics.json").read_text()) == evaluated


def test_a_checkpoint_folder_is_evaluated_with_its_averaged_weights(file, tmp_path, capsys):
    assert main(["train", str(file)]) == DONE
    run = tmp_path / "storage/runs/toy-run"
    code, evaluated, _ = call(capsys, "evaluate", file, "--checkpoint", run / "checkpoints/step_000000008")
    assert code == DONE and evaluated["step"] == 8
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert evaluated["metrics"]["test/mse"] == rows[7]["test/mse"]


def test_each_evaluation_is_kept_also_when_an_older_one_was_deleted(file, tmp_path, capsys):
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


def test_a_model_of_another_architecture_is_refused_with_its_keys(file, tmp_path, capsys):
    assert main(["train", str(file)]) == DONE
    model = tmp_path / "storage/runs/toy-run/checkpoints/step_000000008"
    others = ["--set", "workload.width=9", "--set", "tracking.run_name=other"]
    code, message = fail(capsys, "evaluate", file, *others, "--checkpoint", model)
    assert code in (FAILED, BAD_INPUT)
    assert "another architecture" in message and "0.weight: (8, 8) instead of (9, 8)" in message


def test_a_workload_without_an_export_says_so(file, tmp_path, capsys):
    assert main(["train", str(file)]) == DONE
    code, message = fail(capsys, "export", file, "--out", tmp_path / "exported")
    assert code == BAD_INPUT and "this workload has nothing to export" in message
    assert not (tmp_path / "exported").exists()


def test_an_unknown_verb_is_refused_with_the_nearest_one(file, capsys):
    code, message = fail(capsys, "trian", file)
    assert code == BAD_INPUT
    assert message == (
        "'trian' is not a verb; did you mean 'train'? allowed: check, evaluate, export, prepare, repeat, "
        "report, show, submit, sweep, sync, train"
    )


def test_without_json_an_error_is_one_paragraph_on_standard_error(file, capsys):
    assert main(["show", str(file), "--set", "training.epoch=1"]) == BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and "training.epoch: there is no such setting" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("verb", ["show", "prepare", "train", "evaluate"])
def test_a_missing_experiment_file_is_bad_input(tmp_path, capsys, verb):
    code, message = fail(capsys, verb, tmp_path / "absent.yaml")
    assert code == BAD_INPUT and "absent.yaml: there is no such file" in message


@pytest.mark.parametrize("verb", ["prepare", "train"])
def test_a_missing_input_path_is_named_with_its_dotted_key(file, tmp_path, capsys, verb):
    settings = yaml.safe_load(file.read_text())
    missing = tmp_path / "no-weights.pth"
    settings["workload"] = {"name": "flow_matching", "evaluation": {"inception_weights": str(missing)}}
    file.write_text(yaml.safe_dump(settings))
    code, message = fail(capsys, verb, file)
    assert code == BAD_INPUT
    assert f"workload.evaluation.inception_weights: there is no such file or folder: {missing}" in message


@pytest.mark.parametrize("verb", ["prepare", "train", "evaluate"])
def test_a_storage_path_that_cannot_be_made_is_bad_input(file, tmp_path, capsys, verb):
    (tmp_path / "plain-file").write_text("in the way")
    code, message = fail(capsys, verb, file, "--set", f"storage.path={tmp_path / 'plain-file' / 'inside'}")
    assert code == BAD_INPUT
    assert "plain-file" in message


def test_a_storage_scheme_that_is_unknown_is_bad_input(file, capsys):
    code, message = fail(capsys, "train", file, "--set", "storage.path=gopher://host/x")
    assert code == BAD_INPUT and "gopher" in message


def test_a_run_that_fails_has_its_own_exit_code(file, capsys):
    code, message = fail(capsys, "train", file, "--set", "workload.nan_at_row=3")
    assert code == FAILED
    assert "train/loss is not finite at step" in message


def test_an_interrupted_command_says_how_to_go_on(file, capsys, monkeypatch):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.VERBS, "train", interrupt)
    assert main(["train", str(file)]) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(ValueError, BAD_INPUT), (RuntimeError, FAILED), (RunError, FAILED)])
def test_the_kind_of_error_decides_the_exit_code(file, capsys, monkeypatch, error, code):
    def raises(options):
        raise error("the cause")

    monkeypatch.setitem(cli.VERBS, "train", raises)
    assert fail(capsys, "train", file) == (code, "the cause")


def test_new_trains_a_finished_run_again(file, tmp_path, capsys):
    run = tmp_path / "storage/runs/toy-run"
    assert main(["train", str(file)]) == DONE
    first = (run / "metrics.jsonl").read_bytes()
    assert main(["train", str(file), "--new"]) == DONE
    assert (run / "metrics.jsonl").read_bytes() == first == (run / "earlier/001/metrics.jsonl").read_bytes()


# ---- options of the evaluation, as flow matching declares them


@pytest.fixture
def changes(tmp_path, monkeypatch):
    """A function that returns the settings changed by words after `evaluate EXPERIMENT.yaml`."""
    file = tmp_path / "flow.yaml"
    file.write_text("workload: {name: flow_matching}\ntraining: {epochs: 1}\n")
    seen: list[dict[str, Any]] = []

    def keep(options):
        verbs.load_target(options)
        seen.append(options.changes)
        return {}

    for verb in ("evaluate", "train"):
        monkeypatch.setitem(cli.VERBS, verb, keep)

    def parse(*words: str, verb: str = "evaluate") -> dict[str, Any]:
        assert main([verb, str(file), *words]) == DONE
        return seen.pop()

    parse.file = file  # pyright: ignore
    return parse


def test_evaluation_options_become_dotted_settings_with_yaml_types(changes):
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


def test_evaluation_options_may_stand_between_common_ones(changes):
    words = ["--json", "--num-samples", "5", "--set", "seed=3", "--metric", "is", "--checkpoint", "x"]
    assert changes(*words) == {"workload.evaluation.num_samples": 5, "workload.evaluation.metric": "is"}


@pytest.mark.parametrize("word", ["--num-sample", "--num-sample=5"])
def test_an_unknown_evaluation_option_is_refused_with_the_nearest_one(changes, capsys, word):
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


def test_a_wrong_value_of_an_evaluation_option_is_named_with_its_dotted_key(file, tmp_path, capsys):
    settings = yaml.safe_load(file.read_text())
    settings["workload"] = {"name": "flow_matching", "data": {"source": "digits"}}
    file.write_text(yaml.safe_dump(settings))
    code, message = fail(capsys, "evaluate", file, "--checkpoint", tmp_path, "--num-samples", "many")
    assert code == BAD_INPUT
    assert "workload.evaluation.num_samples: Input should be a valid integer (given: 'many')" in message
