"""Formats of an export, and refusal of those that cannot be written here."""

import importlib.util
from collections.abc import Sequence

from data_pipelines.contract.did_you_mean import suggest
from trainables.contract.export import ExportSpec

FORMATS = ("safetensors", "pt2", "onnx")
"""Weights by name; a program of torch.export; a graph for ONNX runtimes."""
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


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
