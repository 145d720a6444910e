"""Python code that loads an exported network and uses it, for its model card."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainables.contract.export import ExportSpec

PACKAGES = {"onnx": "onnxruntime", "pt2": "PyTorch", "safetensors": "this package (`pip install quintet`)"}
"""What a format needs, the format with the least needs first."""
_CALL_TORCH = [
    "",
    "",
    "def network(*inputs):",
    "    with torch.no_grad():",
    "        return module(*map(torch.from_numpy, inputs)).numpy()",
]
_CALL_ONNX = [
    "",
    "",
    "def network(*inputs):",
    "    return session.run(None, dict(zip(names, inputs)))[0]",
]
_LIST_WEIGHTS = [
    "from safetensors.numpy import load_file",
    "",
    'weights = load_file("model.safetensors")',
    "print({name: weight.shape for name, weight in weights.items()})",
]


def snippet(card: Mapping[str, Any], spec: ExportSpec, form: str) -> str:
    """Return code that runs in the folder of the export: it reads the card, loads a file, and uses the network.

    Args:
        card: The card, of whose graphs the first is used.
        spec: Description of the network.
        form: The format.
    """
    if not card["graphs"]:
        return _join(_LIST_WEIGHTS)
    head = ["import json", "", "import numpy as np", "", 'with open("card.json", encoding="utf-8") as file:']
    return _join([*head, "    card = json.load(file)", "", loader(card, spec, form), "", *_use(card, spec)])


def loader(card: Mapping[str, Any], spec: ExportSpec, form: str) -> str:
    """Return code that defines `network`, a function from NumPy arrays to one; it needs `card` for safetensors."""
    name = card["graphs"][0]["name"]
    if form == "onnx":
        load = [f'session = onnxruntime.InferenceSession("{name}.onnx", providers=["CPUExecutionProvider"])']
        return _join(
            ["import onnxruntime", "", *load, "names = [each.name for each in session.get_inputs()]", *_CALL_ONNX]
        )
    if form == "pt2":
        return _join(["import torch", "", f'module = torch.export.load("{name}.pt2").module()', *_CALL_TORCH])
    if spec.build_code is None:
        return _join(_LIST_WEIGHTS)
    load = ['weights_of.load_state_dict(load_file("model.safetensors"))', "module.eval()", *_CALL_TORCH]
    return _join(["import torch", "from safetensors.torch import load_file", spec.build_code.strip(), *load])


def _use(card: Mapping[str, Any], spec: ExportSpec) -> list[str]:
    lines = ["", "rng = np.random.default_rng(0)"]
    if spec.use_code is not None:
        return [*lines, spec.use_code.strip("\n")]
    graph = card["graphs"][0]
    output = graph["output"]["name"]
    for each in graph["inputs"]:
        shape = tuple(size if isinstance(size, int) else each["smallest"][size] for size in each["shape"])
        lines += [f"# yours: {each['text']}", f"{each['name']} = {_values(each, shape)}"]
    lines.append(f"{output} = network({', '.join(each['name'] for each in graph['inputs'])})")
    if card["decision"] is not None and card["decision"]["rule"] == "argmax":
        return [*lines, f'print([card["classes"][number] for number in {output}.argmax(axis=1)])']
    return [*lines, f"print({output}.shape)"]


def _values(given: Mapping[str, Any], shape: Sequence[int]) -> str:
    kind = f"np.{given['type']}"
    if not given["type"].startswith("float"):
        low, high = given["range"] or (0, 0)
        return f"rng.integers({int(low)}, {int(high)}, {shape}, endpoint=True).astype({kind})"
    if given["range"] is None:
        return f"rng.standard_normal({shape}).astype({kind})"
    low, high = given["range"]
    return f"rng.uniform({low:g}, {high:g}, {shape}).astype({kind})"


def _join(lines: Sequence[str]) -> str:
    return "\n".join(line.rstrip("\n") for line in lines) + "\n"
