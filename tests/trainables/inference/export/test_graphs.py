"""Exported graphs: the outputs of the network at any size, and results of the training code without training code."""

import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.heart_sounds.analysis import analyse
from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.single_recordings import array_recording
from data_pipelines.images.sources import DigitsSource
from tests.trainables.inference.export.conftest import MODELS
from trainables.contract.export import BATCH, Graph, GraphInput, GraphOutput
from trainables.contract.predictor import SavedModel
from trainables.inference.export import graph_files
from trainables.inference.export.graph_files import draw_inputs
from trainables.inference.loading import load_model
from trainables.inference.model_files import load_state, load_task
from trainables.workloads.flow_matching.config import Sampling
from trainables.workloads.flow_matching.flow.guidance import generate
from trainables.workloads.heart_sound.finetune.predictor import HeartSoundPredictor, preprocessing_of
from trainables.workloads.pruning.predictor import PruningPredictor

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.slow
CPU = torch.device("cpu")
EVERY_WORKLOAD = (
    "flow_matching",
    "symunet",
    "video_prediction",
    "pruning",
    "heart_sound_pretrain",
    "heart_sound_finetune",
)
CODES = [
    name if name in ("pruning", "heart_sound_finetune") else pytest.param(name, marks=pytest.mark.faults)
    for name in EVERY_WORKLOAD
]
OTHERS = [
    pytest.param("attention"),
    *(pytest.param(name, marks=pytest.mark.faults) for name in ("post", "transenet", "simvp", "super_resolution")),
]


def task_of(model: SavedModel) -> Any:
    return load_task(model, load_state(model), CPU)


@cache
def session_of(file: Path) -> Any:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


@cache
def program_of(file: Path) -> torch.nn.Module:
    return torch.export.load(file).module()


def run_onnx(file: Path, *inputs: np.ndarray) -> np.ndarray:
    session = session_of(file)
    names = [each.name for each in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True)))[0]


def card_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "card.json").read_text())


@pytest.mark.parametrize("name", [*EVERY_WORKLOAD, *OTHERS])
def test_all_files_give_the_networks_outputs_for_any_batch_size(saved, exported, name):
    folder = exported(name)
    for graph in task_of(saved(name)).export_spec().graphs:
        for count in (1, 5):
            inputs = draw_inputs(graph, {"batch": count})
            with torch.no_grad():
                expected = graph.module(*inputs)
                program = program_of(folder / f"{graph.name}.pt2")(*inputs)
            found = run_onnx(folder / f"{graph.name}.onnx", *(each.numpy() for each in inputs))
            assert len(expected) == count and expected.std() > 0
            assert np.abs(found - expected.numpy()).max() < 1e-4
            assert (program - expected).abs().max() < 1e-4


@pytest.mark.parametrize("name", [*EVERY_WORKLOAD, *OTHERS])
def test_the_card_names_what_the_onnx_file_takes(exported, name):
    folder = exported(name)
    for graph in card_of(folder)["graphs"]:
        session = session_of(folder / f"{graph['name']}.onnx")
        kinds = {"float32": "tensor(float)", "int64": "tensor(int64)", "uint8": "tensor(uint8)"}
        stored = [(each.name, each.shape, each.type) for each in session.get_inputs()]
        assert stored == [(each["name"], each["shape"], kinds[each["type"]]) for each in graph["inputs"]]
        [output] = session.get_outputs()
        assert (output.name, output.shape) == (graph["output"]["name"], graph["output"]["shape"])


@pytest.mark.parametrize("name", [*CODES, *OTHERS])
def test_the_code_of_the_model_card_runs_with_every_file(exported, name, monkeypatch, capsys):
    folder = exported(name)
    monkeypatch.chdir(folder)
    first, *others = re.findall(r"(?ms)^```python\n(.*?)^```$", (folder / "README.md").read_text())
    space: dict[str, Any] = {}
    exec(first, space)
    assert capsys.readouterr().out.strip()
    graph = card_of(folder)["graphs"][0]
    rng = np.random.default_rng(1)
    sizes: dict[Any, Any] = {"batch": 2, "height": 12, "width": 12}
    shapes = [[sizes.get(size, size) for size in each["shape"]] for each in graph["inputs"]]
    inputs = [
        rng.uniform(0, 1, shape).astype(each["type"]) for shape, each in zip(shapes, graph["inputs"], strict=True)
    ]
    expected = space["network"](*inputs)
    assert len(others) == 2
    for code in others:
        exec(code, space)
        assert np.abs(space["network"](*inputs) - expected).max() < 1e-4


def test_pictures_of_any_size_are_enlarged(saved, exported):
    folder = exported("symunet")
    [graph] = task_of(saved("symunet")).export_spec().graphs
    program = program_of(folder / "model.pt2")
    for height, width in ((16, 32), (12, 17), (2, 2), (3, 40), (31, 31)):
        [image] = draw_inputs(graph, {"batch": 1, "height": height, "width": width})
        with torch.no_grad():
            expected = graph.module(image).numpy()
            assert np.abs(program(image).numpy() - expected).max() < 1e-4
        assert np.abs(run_onnx(folder / "model.onnx", image.numpy()) - expected).max() < 1e-4
        assert expected.shape == (1, 3, 2 * height, 2 * width)


@pytest.mark.faults
def test_transenet_takes_its_own_size_alone_and_says_why(exported):
    folder = exported("transenet")
    card = card_of(folder)
    assert card["graphs"][0]["inputs"][0]["shape"] == ["batch", 3, 12, 12]
    assert any("trained at 12x12 pixels alone" in sentence for sentence in card["limits"])
    with pytest.raises(Exception, match="Expected: 12"):
        run_onnx(folder / "model.onnx", np.zeros((1, 3, 16, 16), np.float32))


def test_pictures_are_generated_from_the_card_alone(saved, exported):
    folder = exported("flow_matching")
    sampler = card_of(folder)["sampler"]
    assert sampler["solver"] == "heun" and sampler["num_steps"] == 3 and sampler["guidance"] == 2.0
    label = np.array([4, 7, 0])
    noise = np.random.default_rng(5).standard_normal((3, 1, 8, 8)).astype(np.float32)

    def v(t: float, x: np.ndarray) -> np.ndarray:
        call = [run_onnx(folder / "model.onnx", x, np.full(3, t, np.float32), each) for each in (label, none)]
        return call[1] + sampler["guidance"] * (call[0] - call[1])

    x, none, h = noise, np.full(3, sampler["null_label"]), 1 / sampler["num_steps"]
    for i in range(sampler["num_steps"]):
        k_1 = v(i * h, x)
        x = x + h / 2 * (k_1 + v(i * h + h, x + h * k_1))
    task = task_of(saved("flow_matching"))
    sampling = Sampling(solver="heun", nfe=6, guidance=2.0)
    expected = generate(
        task.module, torch.from_numpy(noise), torch.from_numpy(label), null_label=10, sampling=sampling
    ).images
    assert np.abs(x - expected.numpy()).max() < 1e-4


def test_frames_are_predicted_from_the_card_alone(saved, exported):
    folder = exported("video_prediction")
    sampler = card_of(folder)["sampler"]
    assert (sampler["method"], sampler["prediction"], sampler["eta"]) == ("ddim", "v", 0.0)
    past = torch.rand(2, 2, 1, 12, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    seeds = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
    x_t = np.stack([torch.randn(3, 1, 12, 16, generator=generator).numpy() for generator in seeds])
    a = sampler["alpha_bars"]
    for n, t in enumerate(sampler["timesteps"]):
        v = run_onnx(folder / "model.onnx", x_t, np.full(2, t), past.numpy())
        x_0 = np.clip(np.sqrt(a[n]) * x_t - np.sqrt(1 - a[n]) * v, -1, 1)
        eps = (x_t - np.sqrt(a[n]) * x_0) / np.sqrt(1 - a[n])
        x_t = (np.sqrt(a[n + 1]) * x_0 + np.sqrt(1 - a[n + 1]) * eps).astype(np.float32)
    task = task_of(saved("video_prediction"))
    with torch.no_grad():
        generators = [torch.Generator().manual_seed(seed) for seed in (3, 4)]
        expected = task.predictor.predict(task.module, past, generators).frames
    assert np.abs(x_t - expected.numpy()).max() < 1e-4


def test_a_recording_is_pooled_from_the_card_alone(saved, exported, monkeypatch, capsys):
    """By the code of the model card, and as the training code predicts."""
    folder, predictor = exported("attention"), load_model(saved("attention").source, device="cpu", min_quality=-1)
    assert isinstance(predictor, HeartSoundPredictor)
    made = generate_heart_sound(np.random.default_rng(1), duration_s=6, beats_per_min=80, murmur=0.1).sound
    [answer] = predictor.predict([(made.samples, made.rate)])
    found = analyse(array_recording("", made.samples, made.rate), preprocessing_of(predictor.model), least_alike=-1)
    pipeline = HeartPipeline(preprocessing_of(predictor.model), "synthetic_murmur")
    signal = pipeline.collate(pipeline.decode(found.stored))["signal"].numpy()
    assert len(signal) == len(answer.cycles) > 3 and "softmax(scores)" in card_of(folder)["decision"]["aggregation"]
    monkeypatch.chdir(folder)
    [code, *_] = re.findall(r"(?ms)^```python\n(.*?)^```$", (folder / "README.md").read_text())
    code, count = re.subn(r"(?m)^signal = .*$", "signal = given", code)
    space: dict[str, Any] = {"given": signal}
    exec(code, space)
    assert count == 1 and space["weights"] == pytest.approx([each.weight for each in answer.cycles], rel=1e-3)
    printed = dict(re.findall(r"'(\w+)': (?:np\.float32\()?([\d.e-]+)", capsys.readouterr().out))
    assert {name: float(value) for name, value in printed.items()} == pytest.approx(answer.probabilities, rel=1e-3)


CLASSIFY = """
import json, sys
import numpy as np, onnxruntime
from PIL import Image

card = json.load(open("card.json"))
[given], made = card["graphs"][0]["inputs"], card["preprocessing"]
height, width = given["shape"][2:]
session = onnxruntime.InferenceSession("model.onnx")
for file in sys.argv[1:]:
    assert made["pixels"].startswith("8-bit grey")
    picture = Image.open(file).convert("L")
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    box = (left, top, left + side, top + side)
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
    [logits] = session.run(None, {given["name"]: pixels[None, None].astype(given["type"])})
    assert card["decision"]["rule"] == "argmax"
    print(card["classes"][int(logits[0].argmax())])
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "ray", "trainables"}))
"""


def test_a_pruned_network_classifies_without_our_code(saved, exported, tmp_path):
    (part,) = DigitsSource().read("test", 0)
    files = []
    for number, image in enumerate(part.images[:8]):
        size = (8, 8) if number % 2 else (30, 20)
        files.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(image[0]).resize(size).save(files[-1])
    (tmp_path / "classify.py").write_text(CLASSIFY)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(tmp_path / "classify.py"), *files]
    done = subprocess.run(
        command, cwd=exported("pruning"), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    *found, modules = done.stdout.splitlines()
    predictor = load_model(saved("pruning").source, device="cpu")
    assert isinstance(predictor, PruningPredictor)
    answers = predictor.predict(files)
    assert found == [answer.class_name for answer in answers]
    assert modules == "[]"


def test_weights_too_large_for_onnx_lie_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(graph_files, "MAX_ONNX_FILE", 100)
    given = GraphInput("x", (BATCH, 64), "numbers")
    graph = Graph(torch.nn.Linear(64, 64), [given], GraphOutput("y", ("batch", 64), "numbers"))
    (tmp_path / "a").mkdir()
    assert graph_files.write_onnx(graph_files.trace(graph), graph, tmp_path / "a") < 1e-4
    assert (tmp_path / "a/model.onnx.data").stat().st_size >= 4 * 64**2 > (tmp_path / "a/model.onnx").stat().st_size
    (tmp_path / "a").rename(tmp_path / "b")
    assert run_onnx(tmp_path / "b/model.onnx", np.ones((3, 64), np.float32)).shape == (3, 64)


def test_every_model_of_these_tests_is_exported():
    names = {*EVERY_WORKLOAD, *(each.values[0] for each in OTHERS)}
    assert names == set(MODELS)
