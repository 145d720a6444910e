"""Export of a saved model: weights and graphs that need no training code, with a card and a model card."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from data_pipelines.storage.folder import Folder
from trainables.contract.export import ExportSpec
from trainables.contract.predictor import SavedModel
from trainables.engine.files.tensor_files import save_tensors
from trainables.inference.export.card import CARD, build_card
from trainables.inference.export.formats import refuse_graphless
from trainables.inference.export.graph_files import trace, write_onnx, write_pt2
from trainables.inference.export.readme import README, build_readme
from trainables.inference.model_files import load_state, load_task

WEIGHTS = "model.safetensors"
_WRITERS = {"pt2": write_pt2, "onnx": write_onnx}


def export_model(
    model: SavedModel, out: Folder, formats: Sequence[str], *, license_name: str | None = None
) -> dict[str, Any]:
    """Write a model to a new folder, completely or not at all.

    Args:
        model: The model.
        out: The folder, on any storage.
        formats: Any of `FORMATS`.
        license_name: The licence of the weights, for the cards.

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
