"""Writes docs/settings.md, the reference of all settings: `python docs/list_settings.py`, or `--check` it."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from data_pipelines.contract.config import INPUT  # noqa: E402
from docs.list_files import write_or_check  # noqa: E402
from ray_jobs.settings.experiment import Experiment  # noqa: E402
from ray_jobs.settings.kind_switch import own_values  # noqa: E402
from trainables.workloads import WORKLOADS, config_class  # noqa: E402

PAGE = ROOT / "docs/settings.md"
HEADER = """# All settings

Every setting of an experiment, with its default and its meaning, made from the classes that check them
(`make files` writes this page; do not edit it). [Experiments](experiments.md) tells how they are written, and what the
key `extends` does. `quintet show EXPERIMENT` prints the values that an experiment has.
"""
SIGNS = {Ge: ("ge", "at least"), Gt: ("gt", "above"), Le: ("le", "at most"), Lt: ("lt", "below")}
NAMES = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path", dict: "mapping"}


def main(arguments: list[str]) -> int:
    """Write the page, or with `--check` compare it. Returns the exit code."""
    return write_or_check(PAGE, build_page, arguments)


def build_page() -> str:
    """Return the page: the sections that all workloads share, and one for each workload.

    Raises ValueError naming settings without a meaning.
    """
    sections = [HEADER]
    for name, field in Experiment.model_fields.items():
        kinds = list(_models(field.annotation))
        if name != "workload" and kinds:
            sections += [f"## `{name}`", *_section(kinds[0], name, {})]
    single = [name for name, field in Experiment.model_fields.items() if not list(_models(field.annotation))]
    sections += ["## At the top", _table(Experiment, [name for name in single if name != "workload"])]
    for name in WORKLOADS:
        sections += [f"## `workload` with `name: {name}`", *_section(config_class(name), "workload", {})]
    return "\n\n".join(filter(None, map(str.strip, sections))) + "\n"


def _section(model: type[BaseModel], path: str, known: dict[type[BaseModel], str]) -> Iterator[str]:
    """Yield the text of a class, its table, and the sections inside it; a class that was shown is named alone."""
    known[model] = path
    yield _sentences(model.__doc__)
    yield _table(model, list(model.model_fields))
    for name, field in model.model_fields.items():
        kinds = _kinds(field)
        for kind in kinds:
            title = f"{path}.{name}"
            heading = f"### `{title}`" + (f" with `name: {_kind(kind)}`" if len(kinds) > 1 else "")
            if kind in known:
                yield f"{heading}\n\nAs `{known[kind]}`."
            else:
                yield heading
                yield from _section(kind, title, known)
            yield _own_values(kind, _default_of(field))


def _own_values(kind: type[BaseModel], default: Any) -> str:
    """Return what a section has by default in place of the defaults of its class."""
    own = own_values(default) if type(default) is kind else {}
    words = ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in own.items())
    return f"By default it has {words} here." if own else ""


def _table(model: type[BaseModel], names: Sequence[str]) -> str:
    lines = ["| setting | default | values | meaning |", "| --- | --- | --- | --- |"]
    for name in names:
        field = model.model_fields[name]
        if not _is_fixed(name, field):
            cells = [f"`{name}`", _default(field), _values(field), _meaning(model, name)]
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _meaning(model: type[BaseModel], name: str) -> str:
    """Return what is said of a setting, by its class or a base, or of the section that it is."""
    bases = [base for base in model.__mro__ if issubclass(base, BaseModel) and name in base.model_fields]
    kinds = _kinds(model.model_fields[name])
    said = [base.model_fields[name].description for base in bases]
    said += [kinds[0].__doc__ if len(kinds) == 1 else None]
    found = next(filter(None, said), None)
    if found is None:
        raise ValueError(f"{model.__module__}.{model.__name__}.{name} has no docstring")
    return _sentences(found)


def _is_fixed(name: str, field: FieldInfo) -> bool:
    """Return whether the setting is the name of a kind, which the heading has."""
    return name == "name" and get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "to be given"
    value = _default_of(field)
    if isinstance(value, BaseModel):
        if hasattr(value, "units"):
            return f"`{value.model_dump()}`"
        return f"`name: {_kind(type(value))}`" if len(_kinds(field)) > 1 else "as below"
    if isinstance(value, tuple) and any(isinstance(each, BaseModel) for each in value):
        return f"{len(value)} of them"
    if isinstance(value, Path) or (isinstance(value, str) and str(Path.home()) in value):
        return f"`{str(value).replace(str(Path.home()), '~')}`"
    return f"`{json.dumps(value, default=str)}`"


def _default_of(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _values(field: FieldInfo) -> str:
    words = list(dict.fromkeys(_words(field.annotation)))
    if len(kinds := _kinds(field)) > 1:
        names = ", ".join(f"`{_kind(kind)}`" for kind in kinds)
        words = [f"a section with a name of {names}" if each == "a section" else each for each in words]
    if INPUT in field.metadata:
        words = [f"{each} that exists" if each == "path" else each for each in words]
    bounds = [
        f"{sign} {getattr(limit, attribute):,}"
        for limit in field.metadata
        for kind, (attribute, sign) in SIGNS.items()
        if isinstance(limit, kind)
    ]
    nothing = [each for each in words if each == "null"]
    return ", ".join([*(each for each in words if each != "null"), *bounds, *nothing])


def _words(annotation: Any) -> Iterator[str]:
    """Yield what an annotation allows, in words."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from (f"`{value}`" for value in get_args(annotation))
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from _words(each)
    elif hasattr(annotation, "__metadata__"):
        yield from _words(get_args(annotation)[0])
    elif origin in (tuple, list):
        inner = dict.fromkeys(word for each in get_args(annotation) if each is not ... for word in _words(each))
        yield f"list of {' or '.join(inner)}"
    elif annotation is Any:
        yield "anything"
    elif annotation is NoneType:
        yield "null"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield " or ".join(f"`5 {unit}`" for unit in getattr(annotation, "units", ())) or "a section"
    else:
        yield NAMES.get(origin or annotation, getattr(annotation, "__name__", str(annotation)))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the classes of sections in an annotation; a cadence is a word."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not hasattr(annotation, "units"):
            yield annotation
        return
    for each in get_args(annotation):
        yield from _models(each)


def _kinds(field: FieldInfo) -> list[type[BaseModel]]:
    return list(dict.fromkeys(_models(field.annotation)))


def _kind(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("name")
    return field.default if field else model.__name__


def _sentences(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
