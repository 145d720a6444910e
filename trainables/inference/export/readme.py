"""The model card of an export, `README.md`, in the form of the Hugging Face Hub."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from trainables.contract.export import ExportSpec

README = "README.md"
_WORDS = "abcdefghijklmnopqrstuvwxyz0123456789.-"
"""Letters of the identifiers by which the Hub knows licences."""
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


def build_readme(card: Mapping[str, Any], spec: ExportSpec, formats: Sequence[str], name: str) -> str:
    """Build the page."""
    made = card["made"]
    stated = [] if card["license"] else ["No licence is stated; ask who gave it to you before you use it."]
    parts = [
        f"---\n{yaml.safe_dump(_front_matter(card, spec), sort_keys=False, allow_unicode=True)}---",
        f"# {name}",
        spec.summary,
        f"{card['parameters']:,} parameters, trained by `{made['package']}` (workload `{card['workload']}`, epoch "
        f"{made['epoch']}, step {made['step']}, seed {made['seed']}). `card.json` holds all of this page as data, and "
        "the settings of the network.",
        "## How to use it",
        *_tabulate_ports(card),
        *_usage(card, spec, formats),
        *_section("From the output to an answer:", card["decision"]),
        *_section("The steps from noise to a result; `step` is code in Python:", card["sampler"]),
        *_section("How inputs are made:", card["preprocessing"]),
        "## Training data",
        _facts(card["data"]) or "Not described.",
        "## Evaluation",
        _metrics(card["metrics"]),
        *_section("Measured when it was exported:", card["measured"]),
        "## Limits",
        "\n".join(f"- {sentence}" for sentence in [*card["limits"], *stated]) or "None are known.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(card: Mapping[str, Any], spec: ExportSpec) -> dict[str, Any]:
    tags = list(dict.fromkeys(["quintet", card["workload"], *spec.tags]))
    metrics = {name.rpartition("/")[2] for name in card["metrics"] if f"baseline/{name}" in card["metrics"]}
    kind = {"pipeline_tag": spec.pipeline_tag} if spec.pipeline_tag else {}
    return {**_license(card["license"]), "library_name": "quintet", **kind, "tags": tags, "metrics": sorted(metrics)}


def _license(given: str | None) -> dict[str, str]:
    """Return the Hub's keys; a licence that is none of its identifiers is `other`, with a name."""
    if given is None:
        return {"license": "unknown"}
    if set(given) <= set(_WORDS):
        return {"license": given}
    return {"license": "other", "license_name": given}


def _tabulate_ports(card: Mapping[str, Any]) -> list[str]:
    if not card["graphs"]:
        return []
    lines = ["| | name | shape | type | range | what it is |", "| --- | --- | --- | --- | --- | --- |"]
    for graph in card["graphs"]:
        ending = f" of `{graph['name']}`" if len(card["graphs"]) > 1 else ""
        for each in graph["inputs"]:
            span = "any" if each["range"] is None else "{:g} to {:g}".format(*each["range"])
            shape = ", ".join(map(str, each["shape"]))
            lines.append(f"| input{ending} | `{each['name']}` | [{shape}] | {each['type']} | {span} | {each['text']} |")
        output = graph["output"]
        shape = ", ".join(map(str, output["shape"]))
        lines.append(f"| output{ending} | `{output['name']}` | [{shape}] | {output['type']} | | {output['text']} |")
    return ["\n".join(lines)]


def _usage(card: Mapping[str, Any], spec: ExportSpec, formats: Sequence[str]) -> list[str]:
    """Return a complete snippet of the format with the least needs, and how the other files are loaded."""
    first, *others = [form for form in PACKAGES if form in formats]
    parts = [f"In this folder, with {PACKAGES[first]}:", _block(snippet(card, spec, first))]
    for form in others:
        parts += [f"The same `network` with {PACKAGES[form]}:", _block(loader(card, spec, form))]
    largest = max(card["difference_to_the_network"].values(), default=None)
    if largest is not None:
        parts.append(f"When the files were made, their outputs were at most {largest:.1g} from the network's own.")
    return parts


def _block(code: str) -> str:
    return f"```python\n{code}```"


def _section(title: str, content: Mapping[str, Any] | None) -> list[str]:
    return [f"{title}\n\n{_facts(content)}"] if content else []


def _facts(content: Mapping[str, Any], indent: str = "") -> str:
    """Return plain data as a list in Markdown."""
    lines = []
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}- {name}:", _facts(value, f"{indent}  ")]
        elif isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) for each in value):
            lines += [f"{indent}- {name}:", *(f"{indent}  {number}. {each}" for number, each in enumerate(value, 1))]
        else:
            lines.append(f"{indent}- {name}: {_word(value)}")
    return "\n".join(lines)


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > 12:
        return f"{len(value)} values, from {value[0]} to {value[-1]}; `card.json` has them"
    return f"{value:,}" if isinstance(value, int) else f"`{json.dumps(value)}`"


def _metrics(metrics: Mapping[str, float]) -> str:
    if not metrics:
        return "No figures were measured before it was saved."
    rows = [f"| `{name}` | {value:.6g} |" for name, value in sorted(metrics.items())]
    head = ["Of the training's last evaluation; `baseline/...` is a trivial predictor.", "", "| metric | value |"]
    return "\n".join([*head, "| --- | --- |", *rows])


def snippet(card: Mapping[str, Any], spec: ExportSpec, form: str) -> str:
    """Return code that runs in the folder of the export: it reads the card, loads a file, and uses the network.

    The first of the card's graphs is used.
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
