"""Exported folders: what their cards say, what they keep to themselves, and what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from data_pipelines.storage.checksums import verify
from data_pipelines.storage.folder import Folder
from tests.trainables.inference.export.conftest import METRICS, MODELS, save_tiny
from trainables.contract.export import BATCH, Axis, ExportSpec, Graph, GraphInput, GraphOutput
from trainables.inference.export import graph_files
from trainables.inference.export.export_model import export_model, read_formats
from trainables.inference.model_files import load_state, load_task

TOY = {"name": "toy", "num_rows": 8}


def export(model: Any, folder: Path, *formats: str, **options: Any) -> dict[str, Any]:
    return export_model(model, Folder(str(folder)), formats or ["safetensors"], **options)


def card_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "card.json").read_text())


def front_matter_of(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_loaded_by_the_code_of_the_model_card(saved, tmp_path, monkeypatch, name):
    export(saved(name), tmp_path / "out")
    monkeypatch.chdir(tmp_path / "out")
    [code] = re.findall(r"(?ms)^```python\n(.*?)^```$", Path("README.md").read_text())
    space: dict[str, Any] = {}
    exec(code, space)
    task = load_task(saved(name), load_state(saved(name)), torch.device("cpu"))
    graph = task.export_spec().graphs[0]
    inputs = graph_files.draw_inputs(graph, {})
    expected = graph.module(*inputs)
    assert expected.std() > 0
    assert torch.equal(torch.from_numpy(space["network"](*(each.numpy() for each in inputs))), expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_card_says_what_it_is_and_how_it_was_made(saved, tmp_path, name):
    summary = export(saved(name), tmp_path / "out")
    assert verify(tmp_path / "out") is None and summary["files"] == sorted(summary["files"])
    card, text = card_of(tmp_path / "out"), (tmp_path / "out/README.md").read_text()
    assert card["format"] == 1 and card["license"] is None and card["metrics"] == METRICS
    made = card["made"]
    assert (made["epoch"], made["step"], made["seed"]) == (2, 7, 3) and made["package"].startswith("quintet ")
    assert card["workload"] == MODELS[name]["name"]
    assert card["data"] and card["architecture"] and card["graphs"] and card["limits"]
    weights = load_file(tmp_path / "out/model.safetensors")
    assert card["parameters"] <= sum(weight.numel() for weight in weights.values())
    for title in ("## How to use it", "## Training data", "## Evaluation", "## Limits"):
        assert title in text
    assert "| `val/accuracy` | 0.75 |" in text
    front = front_matter_of(tmp_path / "out")
    assert front["library_name"] == "quintet" and front["license"] == "unknown" and front["metrics"] == ["accuracy"]
    assert {"quintet", MODELS[name]["name"]} <= set(front["tags"]) and len(set(front["tags"])) == len(front["tags"])


@pytest.mark.parametrize("name", MODELS)
def test_an_export_names_no_place_and_no_person(saved, tmp_path, name):
    export(saved(name), tmp_path / "out")
    for file in ("card.json", "README.md"):
        text = (tmp_path / "out" / file).read_text()
        assert str(tmp_path.parent) not in text and str(Path.home()) not in text
        assert not re.search(r'"[/~][^"]+/', text), re.findall(r'"[/~][^"]+/', text)
    if name.startswith("heart_sound"):
        subjects = saved(name).data_spec["subjects"]
        card = card_of(tmp_path / "out")
        assert "subjects" not in card["data"]
        assert card["data"]["num_subjects"] == {split: len(names) for split, names in subjects.items()}
        assert subjects["train"][0] not in json.dumps(card["data"])


def test_classes_decision_and_preprocessing_are_in_the_card(saved, tmp_path):
    export(saved("heart_sound_finetune"), tmp_path / "heart")
    card = card_of(tmp_path / "heart")
    assert card["classes"] == ["normal", "murmur"] and card["decision"]["rule"] == "argmax"
    assert (card["preprocessing"]["sample_rate"], card["preprocessing"]["num_samples"]) == (1000, 128)
    assert "25 to 400 Hz" in card["preprocessing"]["steps"][1]
    export(saved("pruning"), tmp_path / "pruning")
    card = card_of(tmp_path / "pruning")
    assert card["classes"] == [str(number) for number in range(10)]
    assert card["graphs"][0]["inputs"] == [
        {
            "name": "images",
            "shape": ["batch", 1, 8, 8],
            "smallest": {"batch": 1},
            "type": "uint8",
            "range": [0, 255],
            "text": "pictures, made as `preprocessing` says",
        }
    ]
    assert card["measured"]["pruned"]["parameters"] == card["parameters"] == card["measured"]["dense"]["parameters"]


def test_the_encoder_alone_of_a_pretraining_is_exported(saved, tmp_path):
    export(saved("heart_sound_pretrain"), tmp_path / "out")
    names = load_file(tmp_path / "out/model.safetensors").keys()
    assert names and not any("projector" in name or name.startswith("encoder.") for name in names)
    assert card_of(tmp_path / "out")["graphs"][0]["output"]["shape"] == ["batch", 8]


@pytest.mark.parametrize(
    ("given", "front"),
    [
        ("apache-2.0", {"license": "apache-2.0"}),
        ("Our Own Licence", {"license": "other", "license_name": "Our Own Licence"}),
    ],
)
def test_the_licence_is_the_users(tmp_path, given, front):
    model = save_tiny(TOY, tmp_path / "run")
    export(model, tmp_path / "out", license_name=given)
    assert card_of(tmp_path / "out")["license"] == given
    assert front.items() <= front_matter_of(tmp_path / "out").items()
    assert "No licence is stated" not in (tmp_path / "out/README.md").read_text()


def test_a_workload_that_says_nothing_has_its_weights_exported(tmp_path, monkeypatch, capsys):
    model = save_tiny(TOY, tmp_path / "run")
    export(model, tmp_path / "out")
    assert card_of(tmp_path / "out")["graphs"] == []
    monkeypatch.chdir(tmp_path / "out")
    [code] = re.findall(r"(?ms)^```python\n(.*?)^```$", Path("README.md").read_text())
    exec(code, {})
    assert "'0.weight': (8, 8)" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"--format onnx: toy does not say what its network takes.*`example_inputs`"):
        export(model, tmp_path / "graph", "onnx")
    assert not (tmp_path / "graph").exists()


def test_a_folder_that_holds_something_is_refused(tmp_path):
    model = save_tiny(TOY, tmp_path / "run")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"out is not an empty folder; give a new one"):
        export(model, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_formats_are_given_by_commas_or_several_times():
    assert read_formats([]) == ["safetensors"]
    assert read_formats(["pt2,safetensors", "pt2"]) == ["safetensors", "pt2"]
    with pytest.raises(ValueError, match=r"--format 'onx' is no format; did you mean 'onnx'\? allowed: .*safetensors"):
        read_formats(["onx"])


def test_missing_packages_of_onnx_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ValueError, match=r"--format onnx needs the package onnxscript: pip install quintet\[onnx\]"):
        read_formats(["onnx"])
    assert read_formats(["pt2"]) == ["pt2"]


class Doubled(torch.nn.Module):
    """Gives another output when it runs than when it was traced."""

    factor = 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x


def test_a_graph_that_differs_from_its_network_is_not_written(tmp_path):
    module = Doubled()
    graph = Graph(module, [GraphInput("x", (BATCH, 3), "numbers")], GraphOutput("y", ("batch", 3), "twice"))
    program = graph_files.trace(graph)
    assert graph_files.write_pt2(program, graph, tmp_path) == 0
    module.factor = 2.001
    with pytest.raises(RuntimeError, match=r"model\.pt2 gives other outputs than the network: 0\.00\d+ apart"):
        graph_files.write_pt2(program, graph, tmp_path)


def test_inputs_are_drawn_within_their_range_at_any_size():
    side = Axis("side", minimum=2, example=5)
    generator = torch.Generator().manual_seed(0)
    image = GraphInput("image", (BATCH, side, side), "", range=(2.0, 3.0)).draw({"batch": 3, "side": 7}, generator)
    assert image.shape == (3, 7, 7) and 2 <= image.min() < 2.1 and 2.9 < image.max() <= 3
    label = GraphInput("label", (BATCH,), "", torch.int64, (0, 2)).draw({"batch": 100}, generator)
    assert set(label.tolist()) == {0, 1, 2}


def test_nothing_is_left_of_an_export_that_fails(tmp_path, monkeypatch):
    model = save_tiny(TOY, tmp_path / "run")

    def fail(folder: Path) -> dict[str, Any]:
        raise OSError("no room")

    task_class = type(load_task(model, load_state(model), torch.device("cpu")))
    monkeypatch.setattr(
        task_class, "export_spec", lambda task: ExportSpec("a network", task.module, write_further=fail)
    )
    with pytest.raises(OSError, match="no room"):
        export(model, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
