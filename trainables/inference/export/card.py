"""The card of an export, `card.json`: everything about a network that its use needs, as plain data."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from trainables.contract.export import Axis, ExportSpec, Graph, GraphInput
from trainables.contract.predictor import SavedModel

CARD = "card.json"
FORMAT = 1


def build_card(
    model: SavedModel,
    spec: ExportSpec,
    *,
    license_name: str | None,
    differences: Mapping[str, float],
    measured: Mapping[str, Any],
) -> dict[str, Any]:
    """Build the card.

    `license_name` is None when it is not stated. `differences` has the largest difference of each graph file's outputs
    to those of the network, and `measured` what else was measured during the export.
    """
    return {
        "format": FORMAT,
        "summary": spec.summary,
        "workload": model.workload.label,
        "architecture": dict(spec.architecture),
        "parameters": sum(parameter.numel() for parameter in spec.network.parameters()),
        "preprocessing": dict(spec.preprocessing),
        "graphs": [_describe_graph(graph) for graph in spec.graphs],
        "classes": list(spec.class_names),
        "decision": None if spec.decision is None else dict(spec.decision),
        "sampler": None if spec.sampler is None else dict(spec.sampler),
        "metrics": dict(model.metrics),
        "data": dict(spec.data),
        "limits": list(spec.limits),
        "license": license_name,
        "made": {
            "package": f"quintet {version('quintet')}",
            "epoch": model.epoch,
            "step": model.step,
            "seed": model.seed,
            "model_sha256": model.digest,
        },
        "difference_to_the_network": dict(differences),
        "measured": dict(measured),
    }


def _describe_graph(graph: Graph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "inputs": [_describe_input(each) for each in graph.inputs],
        "output": {
            "name": graph.output.name,
            "shape": list(graph.output.shape),
            "type": "float32",
            "text": graph.output.text,
        },
    }


def _describe_input(given: GraphInput) -> dict[str, Any]:
    return {
        "name": given.name,
        "shape": name_sizes(given.shape),
        "smallest": {axis.name: axis.minimum for axis in given.shape if isinstance(axis, Axis)},
        "type": type_name(given),
        "range": None if given.range is None else list(given.range),
        "text": given.text,
    }


def name_sizes(shape: Sequence[int | Axis]) -> list[int | str]:
    """Return a shape with the names of free dimensions."""
    return [size.name if isinstance(size, Axis) else size for size in shape]


def type_name(given: GraphInput) -> str:
    """Return the type of an input in NumPy's words."""
    return str(given.dtype).removeprefix("torch.")
