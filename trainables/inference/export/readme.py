"""The model card of an export, `README.md`, in the form of the Hugging Face Hub."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from trainables.contract.export import ExportSpec
from trainables.inference.export.usage_code import PACKAGES, loader, snippet

README = "README.md"
_WORDS = "abcdefghijklmnopqrstuvwxyz0123456789.-"
"""Letters of the identifiers by which the Hub knows licences."""


def build_readme(card: Mapping[str, Any], spec: ExportSpec, formats: Sequence[str], name: str) -> str:
    """Build the page.

    Args:
        card: The card beside it.
        spec: Description of the network.
        formats: The formats that were written.
        name: Title of the page.
    """
    made = card["made"]
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
        "\n".join(f"- {sentence}" for sentence in [*card["limits"], *_of_license(card)]) or "None are known.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(card: Mapping[str, Any], spec: ExportSpec) -> dict[str, Any]:
    tags = list(dict.fromkeys(["quintet", card["workload"], *spec.tags]))
    kind = {"pipeline_tag": spec.pipeline_tag} if spec.pipeline_tag else {}
    return {**_license(card["license"]), "library_name": "quintet", **kind, "tags": tags, "metrics": _kinds(card)}


def _license(given: str | None) -> dict[str, str]:
    """Return the Hub's keys; a licence that is none of its identifiers is `other`, with a name."""
    if given is None:
        return {"license": "unknown"}
    if set(given) <= set(_WORDS):
        return {"license": given}
    return {"license": "other", "license_name": given}


def _of_license(card: Mapping[str, Any]) -> list[str]:
    return ["No licence is stated; ask who gave it to you before you use it."] if card["license"] is None else []


def _kinds(card: Mapping[str, Any]) -> list[str]:
    """Return the names of the metrics that have a baseline, without their splits, each once."""
    names = [name.rpartition("/")[2] for name in card["metrics"] if f"baseline/{name}" in card["metrics"]]
    return sorted(set(names))


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
