"""Export of a saved model: weights and graphs that need no training code, with a card and a model card."""

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from data_pipelines.contract.did_you_mean import suggest
from data_pipelines.storage.folder import Folder
from trainables.contract.export import ExportSpec
from trainables.contract.predictor import SavedModel
from trainables.engine.files.tensor_files import save_tensors
from trainables.inference.export.card import CARD, build_card
from trainables.inference.export.graph_files import trace, write_onnx, write_pt2
from trainables.inference.export.readme import README, build_readme
from trainables.inference.model_files import load_state, load_task

WEIGHTS = "model.safetensors"
_WRITERS = {"pt2": write_pt2, "onnx": write_onnx}
FORMATS = ("safetensors", "pt2", "onnx")
"""Weights by name; a program of torch.export; a graph for ONNX runtimes."""
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_model(
    model: SavedModel, out: Folder, formats: Sequence[str], *, license_name: str | None = None
) -> dict[str, Any]:
    """Write a model to a new folder, completely or not at all.

    `out` lies on any storage, `formats` are any of `FORMATS`, and `license_name` is that of the weights, for the cards.

    Returns:
        `files`, `difference_to_the_network` by file, and what the workload measures.

    Raises:
        ValueError: The folder holds something; the network has no such format.
        RuntimeError: A graph gives other outputs than the network.
    """
    if out.exists() and (not out.is_folder() or out.names()):
        raise ValueError(f"--out {out} is not an empty folder; give a new one")
    spec = load_task(model, load_state(model), torch.device("cpu")).export_spec()
    refuse_graphless(spec, formats, model.workload.name)
    with out.parent.new_folder(out.name) as files:
        differences = _write_network(spec, formats, files)
        measured = spec.write_further(files)
        card = build_card(model, spec, license_name=license_name, differences=differences, measured=measured)
        (files / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (files / README).write_text(build_readme(card, spec, formats, out.name), encoding="utf-8")
    return {"files": out.names(), "difference_to_the_network": differences, **measured}


def _write_network(spec: ExportSpec, formats: Sequence[str], files: Path) -> dict[str, float]:
    if "safetensors" in formats:
        save_tensors(spec.network.state_dict(), files / WEIGHTS)
    graph_formats = [form for form in formats if form in _WRITERS]
    differences: dict[str, float] = {}
    for graph in spec.graphs if graph_formats else ():
        program = trace(graph)
        for form in graph_formats:
            differences[f"{graph.name}.{form}"] = _WRITERS[form](program, graph, files)
    return differences


def read_formats(words: Sequence[str]) -> list[str]:
    """Return the formats in words, each of which may hold several with commas between; by default safetensors.

    Raises ValueError for a word that is no format, and for packages that are missing.
    """
    names = [name.strip() for word in words for name in word.split(",")] or ["safetensors"]
    for name in names:
        if name not in FORMATS:
            raise ValueError(f"--format {name!r} is no format; {suggest(name, FORMATS)}")
    missing = [name for name in _ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if "onnx" in names and missing:
        raise ValueError(f"--format onnx needs the package {' and '.join(missing)}: pip install quintet[onnx]")
    return [name for name in FORMATS if name in names]


def refuse_graphless(spec: ExportSpec, formats: Sequence[str], workload: str) -> None:
    """Raise ValueError for a graph of a network whose inputs are not known."""
    wanted = [name for name in formats if name != "safetensors"]
    if wanted and not spec.graphs:
        raise ValueError(
            f"--format {','.join(wanted)}: {workload} does not say what its network takes, so that only safetensors "
            "can be written; its task may implement `example_inputs` or `export_spec`"
        )
