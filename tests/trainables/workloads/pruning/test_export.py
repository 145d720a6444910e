"""Exported networks: the same logits after a reload, the counted size, and clear refusals."""

import importlib.util
import json

import pytest
import torch

from tests.trainables.workloads.pruning.tiny_networks import ARCHS, images, lively, some_units, tiny
from trainables.workloads.pruning.export import export_network, export_program, load_exported
from trainables.workloads.pruning.latency import measure_latency
from trainables.workloads.pruning.networks.build import measure_size
from trainables.workloads.pruning.selection.physical_removal import remove_units

pytestmark = pytest.mark.slow

NAMES = ["a", "b", "c", "d"]


def pruned(arch: str):
    network = lively(tiny(arch))
    return remove_units(network, tiny(arch), some_units(tiny(arch)))


@pytest.mark.parametrize("arch", ARCHS)
def test_an_exported_network_gives_the_same_logits_to_the_bit(tmp_path, arch):
    network, blueprint = pruned(arch)
    summary = export_network(network, blueprint, tmp_path / "out", class_names=NAMES, form="safetensors")
    again = load_exported(tmp_path / "out")
    assert not again.training
    with torch.no_grad():
        assert torch.equal(again(images()), network(images()))
    size, dense = measure_size(blueprint), measure_size(tiny(arch))
    assert summary["pruned"] == {"parameters": size.parameters, "macs": size.macs, "units": size.num_units}
    assert summary["dense"]["macs"] == dense.macs > size.macs
    assert sum(parameter.numel() for parameter in again.parameters()) == size.parameters
    plan = json.loads((tmp_path / "out/plan.json").read_text())
    assert plan["class_names"] == NAMES and plan["latency_ms_batch_64"].keys() == {"dense", "pruned"}
    assert all(value > 0 for value in plan["latency_ms_batch_1"].values())


def test_latencies_are_medians_in_milliseconds_of_turns(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock) / 1000)
    order: list[str] = []

    class Network(torch.nn.Module):
        def __init__(self, name: str, ticks: int):
            super().__init__()
            self.name, self.ticks = name, ticks

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            order.append(self.name)
            for _ in range(self.ticks):
                next(clock)
            return x

    found = measure_latency({"slow": Network("slow", 9), "fast": Network("fast", 4)}, torch.zeros(1))
    assert found == pytest.approx({"slow": 10.0, "fast": 5.0})
    assert order[:4] == ["slow", "fast", "slow", "fast"]


def test_onnx_is_refused_with_the_package_to_install_or_written(tmp_path):
    network, blueprint = pruned("res20s")
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxscript"):
        export_network(network, blueprint, tmp_path / "out", class_names=NAMES, form="onnx")
        assert {file.name for file in (tmp_path / "out").iterdir()} == {"model.onnx", "model.safetensors", "plan.json"}
        return
    with pytest.raises(ValueError, match=r"--format onnx needs the package onnx.*pip install quintet\[onnx\]"):
        export_network(network, blueprint, tmp_path / "out", class_names=NAMES, form="onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arch", ARCHS)
def test_a_network_is_exported_for_any_batch_size(arch):
    """What becomes the ONNX file is this program."""
    network, blueprint = pruned(arch)
    program = export_program(network, blueprint).module()
    with torch.no_grad():
        for count in (1, 3, 6):
            assert torch.allclose(program(images(count)), network(images(count)), atol=1e-6)


@pytest.mark.parametrize("arch", ARCHS)
def test_the_onnx_file_gives_the_same_logits_for_any_batch_size(tmp_path, arch):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    network, blueprint = pruned(arch)
    export_network(network, blueprint, tmp_path, class_names=NAMES, form="onnx")
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    for count in (1, 6):
        (logits,) = session.run(None, {"images": images(count).numpy()})
        assert torch.allclose(torch.from_numpy(logits), network(images(count)), atol=1e-5)


def test_an_unknown_form_is_refused(tmp_path):
    network, blueprint = pruned("res20s")
    with pytest.raises(ValueError, match="--format pickle: pruning exports safetensors or onnx"):
        export_network(network, blueprint, tmp_path, class_names=NAMES, form="pickle")


def test_a_damaged_export_names_its_file(tmp_path):
    with pytest.raises(ValueError, match=r"plan\.json is not the plan"):
        load_exported(tmp_path)
    network, blueprint = pruned("res20s")
    export_network(network, blueprint, tmp_path, class_names=NAMES, form="safetensors")
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["network"]["kept"] = {}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold the weights of its plan"):
        load_exported(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "format": 2}))
    with pytest.raises(ValueError, match="format 2, this version reads 1"):
        load_exported(tmp_path)
