"""The `export` verb: models by all references, formats, and what is refused."""

import json
from pathlib import Path

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.cli import BAD_INPUT, DONE, main
from ray_jobs.run_folder.identity import resolve_identity
from tests.ray_jobs.command import call, fail
from tests.trainables.inference.export.conftest import save_tiny

TOY = {"name": "toy", "num_rows": 8}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with the run `toy-run`, which has one model."""
    folder = tmp_path_factory.mktemp("storage")
    save_tiny(TOY, folder / "runs/toy-run")
    resolve_identity(Folder(str(folder / "runs/toy-run")), parts=("toy",), given="toy-run")
    return folder


def card_of(folder: Path) -> dict:
    return json.loads((folder / "card.json").read_text())


@pytest.mark.parametrize("reference", ["runs/toy-run", "runs/toy-run/models/step_000000007", None])
def test_a_model_is_exported_by_path_or_by_name(storage, tmp_path, capsys, reference):
    model = "toy-run" if reference is None else storage / reference
    code, summary, _ = call(capsys, "export", model, "--storage", storage, "--out", tmp_path / "out")
    assert code == DONE
    assert summary["model"] == str(storage / "runs/toy-run/models/step_000000007")
    assert summary["files"] == ["README.md", "card.json", "manifest.json", "model.safetensors"]
    assert summary["folder"] == str(tmp_path / "out") and (tmp_path / "out/model.safetensors").is_file()
    assert card_of(tmp_path / "out")["license"] is None


def test_what_was_written_is_printed(storage, tmp_path, capsys):
    words = [storage / "runs/toy-run", "--out", tmp_path / "out", "--license", "mit", "--format", "safetensors"]
    assert main(["export", *map(str, words)]) == DONE
    out = capsys.readouterr().out
    assert f"folder: {tmp_path / 'out'}" in out and "README.md, card.json" in out
    assert card_of(tmp_path / "out")["license"] == "mit"


@pytest.mark.parametrize("formats", [["--format", "pt2,onnx"], ["--format", "pt2", "--format", "onnx"]])
def test_formats_that_a_network_cannot_have_are_refused_by_name(storage, tmp_path, capsys, formats):
    pytest.importorskip("onnxruntime")
    code, message = fail(capsys, "export", storage / "runs/toy-run", "--out", tmp_path / "out", *formats)
    assert code == BAD_INPUT and message.startswith("--format pt2,onnx: toy does not say what its network takes")
    assert not (tmp_path / "out").exists()


def test_an_experiment_is_told_from_a_model(tmp_path, capsys):
    for experiment in ("demo/pruning", "flow_matching_cifar10"):
        code, message = fail(capsys, "export", experiment, "--storage", tmp_path, "--out", tmp_path / "out")
        assert code == BAD_INPUT
        assert message == (
            f"{experiment} is an experiment, and a model is needed here: write the name or the folder of its run, "
            f"which `quintet show {experiment}` prints"
        )


def test_wrong_arguments_say_what_to_give(storage, tmp_path, capsys):
    run = storage / "runs/toy-run"
    assert fail(capsys, "export", run) == (BAD_INPUT, "export needs --out PATH_OR_URI, a new folder for the files")
    assert fail(capsys, "export")[1] == "export needs MODEL"
    code, message = fail(capsys, "export", run, "--out", tmp_path / "out", "--format", "onnxx")
    assert code == BAD_INPUT and "--format 'onnxx' is no format; did you mean 'onnx'?" in message
    code, message = fail(capsys, "export", "toy-rum", "--storage", storage, "--out", tmp_path / "out")
    assert code == BAD_INPUT and "did you mean 'toy-run'?" in message
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    code, message = fail(capsys, "export", run, "--out", tmp_path / "full")
    assert code == BAD_INPUT and "full is not an empty folder; give a new one" in message
    code, message = fail(capsys, "submit", "export", run, "--out", tmp_path / "out")
    assert code == BAD_INPUT and "'export' is not a verb for a job" in message
