"""HTML built from plain values: all that is not markup already is escaped, so that no name or note becomes markup."""

from collections.abc import Iterable
from html import escape
from typing import Any

VOID = ("img", "input", "meta", "wbr")


class Markup(str):
    """Text that is HTML."""


def tag(element: str, /, *content: Any, **attributes: Any) -> Markup:
    """Build an element. None is left out; attributes are written with `_` for `-`, and `class_` for `class`."""
    words = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if element in VOID:
        return Markup(f"<{element}{words}>")
    return Markup(f"<{element}{words}>{join(content)}</{element}>")


def join(parts: Iterable[Any]) -> Markup:
    """Join parts, one after the other."""
    return Markup("".join(_text(part) for part in parts))


def _attribute(name: str, value: Any) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'


def _text(part: Any) -> str:
    if part is None:
        return ""
    if isinstance(part, Markup):
        return part
    return join(part) if isinstance(part, list | tuple) else escape(str(part))
