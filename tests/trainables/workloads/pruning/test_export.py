"""Exported networks: the same logits after a reload, the counted size, and clear refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.workloads.pruning.tiny_networks import ARCHS, images, lively, some_units, tiny
from trainables.contract.export import ExportSpec
from trainables.engine.files.tensor_files import save_tensors
from trainables.inference.export.graph_files import trace, write_onnx, write_pt2
from trainables.workloads.pruning.export import WEIGHTS, describe_network, load_exported
from trainables.workloads.pruning.networks.build import measure_size
from trainables.workloads.pruning.selection.physical_removal import remove_units

pytestmark = pytest.mark.slow

NAMES = ["a", "b", "c", "d"]
DATA_SPEC = {"channels": 1, "height": 8, "width": 8, "class_names": NAMES}


def pruned(arch: str):
    network = lively(tiny(arch))
    return remove_units(network, tiny(arch), some_units(tiny(arch)))


def export(spec: ExportSpec, folder: Path) -> dict[str, Any]:
    """Write weights and plan; returns what was measured."""
    folder.mkdir(exist_ok=True)
    save_tensors(spec.network.state_dict(), folder / WEIGHTS)
    return dict(spec.write_further(folder))


@pytest.mark.parametrize("arch", ARCHS)
def test_an_exported_network_gives_the_same_logits_to_the_bit(tmp_path, arch):
    network, blueprint = pruned(arch)
    summary = export(describe_network(network, blueprint, DATA_SPEC, "digits"), tmp_path / "out")
    again = load_exported(str(tmp_path / "out"))  # as users write it
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


@pytest.mark.parametrize("arch", ["res18", "vit_tiny"])  # res20s is among the models of every workload
def test_the_graph_files_give_the_same_logits_for_any_batch_size(tmp_path, arch):
    runtime = pytest.importorskip("onnxruntime")
    network, blueprint = pruned(arch)
    [graph] = describe_network(network, blueprint, DATA_SPEC, "digits").graphs
    program = trace(graph)
    assert write_pt2(program, graph, tmp_path) < 1e-6 and write_onnx(program, graph, tmp_path) < 1e-4
    session, module = (
        runtime.InferenceSession(tmp_path / "model.onnx"),
        torch.export.load(tmp_path / "model.pt2").module(),
    )
    for count in (1, 3, 6):
        (logits,) = session.run(None, {"images": images(count).numpy()})
        with torch.no_grad():
            assert torch.allclose(torch.from_numpy(logits), network(images(count)), atol=1e-4)
            assert torch.allclose(module(images(count)), network(images(count)), atol=1e-6)


def test_a_damaged_export_names_its_file(tmp_path):
    with pytest.raises(ValueError, match=r"plan\.json is not the plan"):
        load_exported(tmp_path)
    network, blueprint = pruned("res20s")
    export(describe_network(network, blueprint, DATA_SPEC, "digits"), tmp_path)
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["network"]["kept"] = {}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match=r"model\.safetensors does not hold the weights of its plan"):
        load_exported(tmp_path)
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "format": 2}))
    with pytest.raises(ValueError, match="format 2, this version reads 1"):
        load_exported(tmp_path)
