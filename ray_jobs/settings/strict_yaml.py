"""Strict YAML 1.2: plain data only, no duplicate keys, no tags, no anchors.

`1e-3` is a number, `010` is ten, `0o17` is octal; `1:30`, `no` and a date are text.
"""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1_000_000


class _StrictLoader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _problem(event.start_mark, "anchors and aliases (& and *) are not allowed; write the value out")
        if getattr(event, "tag", None):
            raise _problem(event.start_mark, f"the tag {event.tag} is not allowed; only plain values are")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _problem(key_node.start_mark, f"the key {key!r} is not a string; put it in quotes")
            if key in seen:
                raise _problem(key_node.start_mark, f"the key {key!r} stands here a second time; keep one of the two")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


_StrictLoader.add_constructor("tag:yaml.org,2002:int", _StrictLoader.construct_integer)
_StrictLoader.yaml_implicit_resolvers = {
    first: [pair for pair in resolvers if pair[0].endswith((":null", ":value"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$"), list("-+0123456789")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+|\.(?:inf|nan))$", re.I),
    list("-+0123456789."),
)


def read_yaml(file: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file. Raises ValueError naming the file, the line and the key."""
    if not file.is_file():
        near = get_close_matches(file.name, [path.name for path in file.parent.glob("*.yaml")], n=1)
        raise ValueError(f"{file}: there is no such file" + (f"; did you mean {near[0]!r}?" if near else ""))
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"{file}: larger than {MAX_BYTES:,} bytes; this is no experiment file")
    try:
        content = parse_yaml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}: line {line} is not UTF-8; save the file as UTF-8") from error
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    if not isinstance(content, dict):
        found = {type(None): "nothing", list: "a list", str: "one word or text"}.get(type(content), "one value")
        raise ValueError(f"{file}: the file must hold settings as `key: value`, and holds {found}")
    return content


def parse_yaml(text: str) -> Any:
    """Parse a YAML value. Raises ValueError with line and cause."""
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{where}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def holds_comment(text: str) -> bool:
    """Return whether YAML would leave out a part of the text as a comment; False also for what is no YAML."""
    end = 0
    try:
        for token in yaml.scan(text):
            if "#" in text[end : token.start_mark.index]:
                return True
            end = max(end, token.end_mark.index)
    except yaml.YAMLError:  # reading it raises this again, with words for people
        return False
    return "#" in text[end:]


class _StrictDumper(yaml.SafeDumper):
    """Dumper that puts quotes around every string that `_StrictLoader` would read as something else."""


_StrictDumper.yaml_implicit_resolvers = {
    first: [
        *yaml.SafeDumper.yaml_implicit_resolvers.get(first, []),
        *_StrictLoader.yaml_implicit_resolvers.get(first, []),
    ]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_StrictLoader.yaml_implicit_resolvers}
}


def dump_yaml(value: Any) -> str:
    """Return text that `parse_yaml` reads back as the same value."""
    return yaml.dump(value, Dumper=_StrictDumper, sort_keys=False)


def _problem(mark: Any, words: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=words, problem_mark=mark)
