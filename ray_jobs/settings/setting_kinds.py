"""Kinds of settings, found through the annotations of the classes that hold them."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from trainables.workloads import config_class


def takes_text(root: type[BaseModel], key: str, settings: Any) -> bool:
    """Return whether a dotted setting holds text or a path, and nothing else except null and whole numbers.

    Args:
        root: The class of all settings.
        key: The dotted setting.
        settings: What is set so far; its names choose among several kinds of a section.
    """
    kinds = _kinds_at(root, key, settings) - {NoneType, int}
    return bool(kinds) and kinds <= {str, Path}


def takes_texts(root: type[BaseModel], key: str, settings: Any) -> bool:
    """Return whether a dotted setting holds a list of text, paths and whole numbers, and not of numbers alone.

    The arguments are those of `takes_text`.
    """
    members = [member for annotation in _annotations_at(root, key, settings) for member in _members(annotation)]
    items = [item for member in members if get_origin(member) in (tuple, list) for item in get_args(member)]
    kinds = {kind for item in items if item is not Ellipsis for kind in _kinds(item)} - {int}
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
    return {kind for annotation in _annotations_at(root, key, settings) for kind in _kinds(annotation)}


def _annotations_at(root: type[BaseModel], key: str, settings: Any) -> list[Any]:
    models, annotations = [root], []
    for part in key.split("."):
        annotations = [model.model_fields[part].annotation for model in models if part in model.model_fields]
        settings = settings.get(part) if isinstance(settings, dict) else None
        name = settings.get("name") if isinstance(settings, dict) else None
        if models == [root] and part == "workload":
            models = config_classes(name)
        else:
            models = [model for annotation in annotations for model in models_in(annotation)]
            models = [model for model in models if name is not None and _name(model) == name] or models
    return annotations


def _kinds(annotation: Any) -> set[Any]:
    """Return the members of a union; the class of a list, a mapping, or a choice is no text."""
    return {get_origin(member) or member for member in _members(annotation)}


def _members(annotation: Any) -> Iterator[Any]:
    if hasattr(annotation, "__metadata__"):
        yield from _members(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for member in get_args(annotation):
            yield from _members(member)
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
