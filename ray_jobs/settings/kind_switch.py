"""Change of a section's kind, such as another network: what only the kind before knows is left out, with a line."""

import logging
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel

from ray_jobs.settings.setting_kinds import config_classes, kinds_of_section, models_in

_log = logging.getLogger(__name__)


def leave_out_other_kind(
    settings: dict[str, Any], section: str, name: Any, root: type[BaseModel], keep: Collection[str] = ()
) -> None:
    """Leave out, in place and with a warning, the keys of a section that its new kind does not know and another does.

    `settings` are what is set so far, with the name of the kind before, if any, and `section` is a dotted key, such as
    `workload.network`. The dotted settings `keep` stay, as they were meant for the new kind.
    """
    inner: Any = settings
    for part in section.split("."):
        inner = inner.get(part) if isinstance(inner, dict) else None
    kinds = kinds_of_section(root, section, settings)
    if not isinstance(inner, dict) or name not in kinds or inner.get("name") == name:
        return
    others = {key for kind in kinds.values() for key in kind.model_fields} - set(kinds[name].model_fields)
    dropped = [key for key in inner if key in others and f"{section}.{key}" not in keep]
    for key in dropped:
        del inner[key]
    if dropped:
        _log.warning("%s.name is %s, which has no %s: left out", section, name, ", ".join(dropped))


def leave_out_other_kinds(base: dict[str, Any], changes: dict[str, Any], root: type[BaseModel]) -> None:
    """Do the same, in place, for all sections of `base` whose name `changes` changes, at any depth."""
    for section, name in _names(changes):
        leave_out_other_kind(base, section, name, root)


def complete_sections(settings: dict[str, Any], root: type[BaseModel]) -> None:
    """Write, in place, what sections that are given in part have by default where they stand, and not by their class.

    These are the name of the default kind, where there is a choice and none is named, and values of the default, as the
    evaluation of flow matching has a `guidance` of its own: a setting that is given changes no other one.
    """
    _complete(settings, [root], root)


def _complete(settings: dict[str, Any], models: Sequence[type[BaseModel]], root: type[BaseModel]) -> None:
    for key, field in ((key, field) for model in models for key, field in model.model_fields.items()):
        inner = settings.get(key)
        if not isinstance(inner, dict):
            continue
        if isinstance(field.default, BaseModel):
            has_kinds, own = field.discriminator == "name", own_values(field.default)
            if has_kinds:
                own = {"name": getattr(field.default, "name"), **own}  # noqa: B009
            if not has_kinds or inner.get("name", own["name"]) == own["name"]:
                inner = settings[key] = {**own, **inner}
        is_workload = models == [root] and key == "workload"
        _complete(inner, config_classes(inner.get("name")) if is_workload else list(models_in(field.annotation)), root)


def own_values(default: BaseModel) -> dict[str, Any]:
    """Return the values of a section's default that are not the defaults of its class, as plain data."""
    plain = default.model_dump(mode="json")
    fields = type(default).model_fields if isinstance(plain, dict) else {}  # a cadence is a word
    return {
        name: plain[name]
        for name, field in fields.items()
        if getattr(default, name) != field.get_default(call_default_factory=True, validated_data={})
    }


def _names(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in settings.items():
        if isinstance(value, dict):
            if "name" in value:
                found.append((f"{prefix}{key}", value["name"]))
            found += _names(value, f"{prefix}{key}.")
    return found
