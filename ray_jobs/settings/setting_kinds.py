"""Kinds of settings, found through the annotations of the classes that hold them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from trainables.workloads import config_class


def takes_text(root: type[BaseModel], key: str, settings: Any) -> bool:
    """Return whether a dotted setting holds text or a path, and nothing else except null and whole numbers.

    Names in `settings`, what is set so far, choose among several kinds of a section.
    """
    kinds = _kinds_at(root, key, settings) - {NoneType, int}
    return bool(kinds) and kinds <= {str, Path}


def takes_texts(root: type[BaseModel], key: str, settings: Any) -> bool:
    """Return whether a dotted setting holds a list of text, paths and whole numbers, and not of numbers alone.

    The arguments are those of `takes_text`.
    """
    found = [member for annotation in _annotations_at(root, key, settings) for member in members(annotation)]
    items = [item for member in found if get_origin(member) in (tuple, list) for item in get_args(member)]
    kinds = {kind for item in items if item is not Ellipsis for kind in kinds_in(item)} - {int}
    return bool(kinds) and kinds <= {str, Path}


def allows_null(root: type[BaseModel], key: str, settings: Any) -> bool:
    """Return whether a dotted setting may be null; the arguments are those of `takes_text`."""
    return NoneType in _kinds_at(root, key, settings)


def allows_number(root: type[BaseModel], key: str, settings: Any) -> bool:
    """Return whether a dotted setting may be a whole number; the arguments are those of `takes_text`."""
    return int in _kinds_at(root, key, settings)


def kinds_of_section(root: type[BaseModel], section: str, settings: Any) -> dict[Any, type[BaseModel]]:
    """Return the classes that a dotted section may be of, by their name; none where there is no choice.

    The arguments are those of `takes_text`. The workload itself is no such section.
    """
    models = [kind for kind in _kinds_at(root, section, settings) if isinstance(kind, type)]
    named = {_name(model): model for model in models if issubclass(model, BaseModel)}
    return {} if section == "workload" or len(named) < 2 else named


def _kinds_at(root: type[BaseModel], key: str, settings: Any) -> set[Any]:
    return {kind for annotation in _annotations_at(root, key, settings) for kind in kinds_in(annotation)}


def fields_at(root: type[BaseModel], parts: Sequence[str], settings: Any) -> list[str]:
    """Return the names of the settings of a section, or of an item of a list, whose place is given by its parts."""
    models = _follow(root, parts, settings)[1]
    return list(models[0].model_fields) if models else []


def _annotations_at(root: type[BaseModel], key: str, settings: Any) -> list[Any]:
    return _follow(root, key.split("."), settings)[0]


def _follow(root: type[BaseModel], parts: Sequence[str], settings: Any) -> tuple[list[Any], list[Any]]:
    """Return the annotations of a setting, and the classes that it may be of."""
    models, annotations = [root], []
    for part in parts:
        is_item = isinstance(settings, list) and part.isdigit()  # `models_in` has found the classes of items already
        if is_item:
            settings = settings[int(part)] if int(part) < len(settings) else None
        else:
            annotations = [model.model_fields[part].annotation for model in models if part in model.model_fields]
            settings = settings.get(part) if isinstance(settings, dict) else None
        name = settings.get("name") if isinstance(settings, dict) else None
        if models == [root] and part == "workload":
            models = config_classes(name)
        else:
            models = models if is_item else [model for each in annotations for model in models_in(each)]
            models = [model for model in models if name is not None and _name(model) == name] or models
    return annotations, models


def kinds_in(annotation: Any) -> set[Any]:
    """Return the members of a union; the class of a list, a mapping, or a choice is no text."""
    return {get_origin(member) or member for member in members(annotation)}


def members(annotation: Any) -> Iterator[Any]:
    """Yield the types that a union joins, or the one type that it is, without what annotates them."""
    if hasattr(annotation, "__metadata__"):
        yield from members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from members(member)
    else:
        yield annotation


def _name(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("name")
    return field.default if field else None


def config_classes(name: Any) -> list[Any]:
    """Return the class of a workload's settings; none for a wrong name, which the check of the settings reports."""
    try:
        return [config_class(name)]
    except (ValueError, TypeError):
        return []


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield every class of settings in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)
