"""Export of a pruned network to files that need no training code: `model.safetensors`, `plan.json`, and `model.onnx`.

`load_exported` builds the small network from the plan, without masks, marks and rewind point.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trainables.workloads.pruning.latency import measure_latency
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, find_groups, measure_size
from trainables.workloads.pruning.selection.physical_removal import build_with

FORMAT = 1
WEIGHTS, PLAN, ONNX = "model.safetensors", "plan.json", "model.onnx"
BATCH_SIZES = (1, 64)


def export_network(
    network: nn.Module, blueprint: Blueprint, folder: Path, *, class_names: Sequence[str], form: str
) -> dict[str, Any]:
    """Write the network; returns sizes and latencies of the dense and the pruned one, which `plan.json` holds too.

    Args:
        network: The network without marked units.
        blueprint: Its blueprint.
        folder: Gets the files.
        class_names: Written to the plan.
        form: `safetensors`, or `onnx` for a graph beside it.

    Raises:
        ValueError: Another form, or its packages are missing.
    """
    _refuse_form(form)
    folder.mkdir(parents=True, exist_ok=True)
    network = build_with(blueprint, network.state_dict()).eval()
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, folder / WEIGHTS)
    summary = {"dense": _describe(blueprint.dense()), "pruned": _describe(blueprint), **_compare(network, blueprint)}
    plan = {
        "format": FORMAT,
        "network": blueprint.to_plain(),
        "units": {group.name: [group.num_units, group.num_dense] for group in find_groups(blueprint)},
        "class_names": list(class_names),
        "input": "images: uint8, or floating with values from 0 to 1; [batch, channels, height, width]",
        **summary,
    }
    (folder / PLAN).write_text(json.dumps(plan, indent=2), encoding="utf-8")
    if form == "onnx":
        _export_onnx(network, blueprint, folder / ONNX)
    return summary


def load_exported(folder: Path) -> nn.Module:
    """Load the exported network in eval mode. Raises ValueError naming the file that is missing, damaged or unknown."""
    try:
        plan = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        if plan["format"] != FORMAT:
            raise ValueError(f"format {plan['format']}, this version reads {FORMAT}")
        network = build_network(Blueprint.from_plain(plan["network"]))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / PLAN} is not the plan of an exported network: {error}") from error
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"{folder / WEIGHTS} does not hold the weights of its plan: {error}") from error
    return network.eval()


def _refuse_form(form: str) -> None:
    if form not in ("safetensors", "onnx"):
        raise ValueError(f"--format {form}: pruning exports safetensors or onnx")
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if form == "onnx" and missing:
        raise ValueError(f"--format onnx needs the package {' and '.join(missing)}: pip install quintet[onnx]")


def _describe(blueprint: Blueprint) -> dict[str, int]:
    size = measure_size(blueprint)
    return {"parameters": size.parameters, "macs": size.macs, "units": size.num_units}


def _compare(network: nn.Module, blueprint: Blueprint) -> dict[str, Mapping[str, float]]:
    """Measure `latency_ms_batch_<n>` of both networks."""
    networks = {"dense": build_network(blueprint.dense()).eval(), "pruned": network}
    return {f"latency_ms_batch_{size}": measure_latency(networks, _example(blueprint, size)) for size in BATCH_SIZES}


def _example(blueprint: Blueprint, batch_size: int) -> Tensor:
    return torch.zeros(batch_size, blueprint.channels, blueprint.height, blueprint.width, dtype=torch.uint8)


def export_program(network: nn.Module, blueprint: Blueprint) -> torch.export.ExportedProgram:
    """Export the network as a graph that takes any number of images."""
    batch = torch.export.Dim("batch", min=1)
    return torch.export.export(network, (_example(blueprint, 2),), dynamic_shapes=({0: batch},))


def _export_onnx(network: nn.Module, blueprint: Blueprint, file: Path) -> None:
    program = export_program(network, blueprint)
    torch.onnx.export(program, f=file, input_names=["images"], output_names=["logits"], external_data=False)
