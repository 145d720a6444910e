"""Export of a pruned network: the small network that is left, and `plan.json`, which says what it was made from.

`load_exported` builds the small network from the plan, without masks, marks and rewind point.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from trainables.contract.export import BATCH, ExportSpec, Graph, GraphInput, GraphOutput
from trainables.workloads.pruning.latency import black_images, measure_latency
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, find_groups, measure_size
from trainables.workloads.pruning.selection.physical_removal import build_with

FORMAT = 1
WEIGHTS, PLAN = "model.safetensors", "plan.json"
BATCH_SIZES = (1, 64)
_BUILD = """
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network

module = weights_of = build_network(Blueprint.from_plain(card["architecture"]))
"""


def describe_network(network: nn.Module, blueprint: Blueprint, data_spec: Mapping[str, Any], source: str) -> ExportSpec:
    """Describe a network without marked units for its export."""
    small, names = build_with(blueprint, network.state_dict()).eval(), list(data_spec["class_names"])
    shape = (blueprint.channels, blueprint.height, blueprint.width)
    given = GraphInput("images", (BATCH, *shape), "pictures, made as `preprocessing` says", torch.uint8, (0, 255))
    output = GraphOutput("logits", ("batch", len(names)), "one logit for each class, in the order of `classes`")
    return ExportSpec(
        f"A pruned network ({blueprint.arch}) that tells {len(names)} classes of pictures.",
        small,
        [Graph(small, [given], output)],
        architecture=blueprint.to_plain(),
        preprocessing=_preprocessing(small, blueprint),
        class_names=names,
        decision={"rule": "argmax", "of": "logits", "probabilities": "softmax of the logits"},
        data={"source": source, **{name: value for name, value in data_spec.items() if name != "class_names"}},
        limits=[f"It knows the classes of {source} alone, and gives one of them to any picture."],
        tags=["image-classification", "pruning", "structured-pruning", blueprint.arch],
        pipeline_tag="image-classification",
        build_code=_BUILD,
        write_further=lambda folder: write_plan(small, blueprint, folder, class_names=names),
    )


def write_plan(network: nn.Module, blueprint: Blueprint, folder: Path, *, class_names: list[str]) -> dict[str, Any]:
    """Write `plan.json`; returns sizes and latencies of the dense and the pruned network, which the plan holds too."""
    summary = {"dense": _describe(blueprint.dense()), "pruned": _describe(blueprint), **_compare(network, blueprint)}
    plan = {
        "format": FORMAT,
        "network": blueprint.to_plain(),
        "units": {group.name: [group.num_units, group.num_dense] for group in find_groups(blueprint)},
        "class_names": class_names,
        "input": "images: uint8, or floating with values from 0 to 1; [batch, channels, height, width]",
        **summary,
    }
    (folder / PLAN).write_text(json.dumps(plan, indent=2), encoding="utf-8")
    return summary


def load_exported(folder: Path | str) -> nn.Module:
    """Load the exported network in eval mode. Raises ValueError naming the file that is missing, damaged or unknown."""
    folder = Path(folder)
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


def _preprocessing(network: nn.Module, blueprint: Blueprint) -> dict[str, Any]:
    normalize = network.get_submodule("normalize")
    colours = "grey" if blueprint.channels == 1 else "RGB"
    return {
        "pixels": f"8-bit {colours}, 0 to 255, [channels, height, width]",
        "size": f"{blueprint.width}x{blueprint.height}; of other pictures the largest square in the middle, resized by "
        "Pillow's bicubic filter",
        "normalisation": "inside the network: pixels / 255, minus `mean`, divided by `std`, for each channel",
        "mean": normalize.get_buffer("mean").tolist(),
        "std": normalize.get_buffer("std").tolist(),
    }


def _describe(blueprint: Blueprint) -> dict[str, int]:
    size = measure_size(blueprint)
    return {"parameters": size.parameters, "macs": size.macs, "units": size.num_units}


def _compare(network: nn.Module, blueprint: Blueprint) -> dict[str, Mapping[str, float]]:
    """Measure `latency_ms_batch_<n>` of both networks."""
    networks = {"dense": build_network(blueprint.dense()).eval(), "pruned": network}
    images = {size: black_images(blueprint, size) for size in BATCH_SIZES}
    return {f"latency_ms_batch_{size}": measure_latency(networks, batch) for size, batch in images.items()}
