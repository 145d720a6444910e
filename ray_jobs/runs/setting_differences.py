"""Refusal of settings that differ from those that a run or a search began with."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from trainables.run import Run, validate_strictly


def refuse_differences(words: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raise ValueError when settings differ from those that were kept: `words`, then a line for each dotted key."""
    before, now = ({key: value for key, value in flatten(each).items() if value != {}} for each in (there, here))
    changed = [
        f"  {key}: {before.get(key)!r} there, {now.get(key)!r} here"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise ValueError("\n".join([f"{words}:", *changed[:20]]))


def without_places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run as they were kept, without what shapes no result; see `Run.shaping`.

    Settings of another version, which cannot be validated, are returned as they are.
    """
    plain = {name: settings.get(name) for name in Run.model_fields}
    try:
        return validate_strictly(Run, plain).shaping
    except ValidationError:
        return plain


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return values by dotted key; lists are values."""
    if not isinstance(settings, Mapping) or (prefix and not settings):
        return {prefix: settings}
    parts = [flatten(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in settings.items()]
    return {key: value for part in parts for key, value in part.items()}
