"""Reading of an experiment file as plain settings, with the file that it extends and the command line's overrides."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data_pipelines.contract.config import expand_home
from data_pipelines.storage.uri import refuse_other_text
from ray_jobs.settings.builtin_experiments import ENDINGS, find_experiment
from ray_jobs.settings.kind_switch import complete_sections, leave_out_other_kind, leave_out_other_kinds
from ray_jobs.settings.setting_kinds import allows_null, allows_number, takes_text
from ray_jobs.settings.strict_yaml import holds_comment, parse_yaml, read_yaml
from trainables.run import set_dotted


def read_settings(file: Path, overrides: Sequence[str], root: type[BaseModel]) -> dict[str, Any]:
    """Read settings, without a check. Raises ValueError naming the file or the override that cannot be read.

    `root` is the class of the settings, by which the values of the overrides are read. A section that is given in
    part gets what it has by default where it stands.
    """
    settings = _read_with_base(file, root)
    given: set[str] = set()
    for override in overrides:
        refuse_other_text(override)
        key, equals, value = override.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", key):
            raise ValueError(
                f"--set {override!r}: write it as section.field=value, for example --set training.epochs=5"
            )
        try:
            read = read_value(key, value, settings, root)
            if key.endswith(".name"):
                leave_out_other_kind(settings, key.removesuffix(".name"), read, root, keep=given)
            set_dotted(settings, key, read)
            given.add(key)
        except ValueError as error:
            raise ValueError(f"--set {override!r}: {error}") from error
    complete_sections(settings, root)
    return settings


def read_value(key: str, value: str, settings: dict[str, Any], root: type[BaseModel]) -> Any:
    """Read the value that a command line gives a dotted setting.

    Text and paths are taken letter by letter, without YAML's quotes around the whole; the word `null` is none, and
    digits are a number, where that is allowed. Any other value is YAML. `settings` are what is set so far.

    Raises:
        ValueError: The value cannot be read, or a part of it would be left out.
    """
    if takes_text(root, key, settings):
        if not value.strip():
            raise ValueError("there is no value" + ("; `null` is none" if allows_null(root, key, settings) else ""))
        if value == "null" and allows_null(root, key, settings):
            return None
        if re.fullmatch(r"[0-9]+", value) and allows_number(root, key, settings):
            return int(value)
        return parse_yaml(value) if re.fullmatch(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"", value) else value
    if holds_comment(value):
        raise ValueError(
            "what follows # would be left out as a comment; put text that holds it in quotes of YAML's own, "
            "as in --set 'section.field=[\"run #3\"]'"
        )
    return parse_yaml(value)


def _read_with_base(file: Path, root: type[BaseModel], seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    settings = read_yaml(file)
    folder = file.absolute().parent
    _place_files(settings, "after", folder)
    _place_files(settings.get("search"), "experiments", folder)
    base = settings.pop("extends", None)
    if base is None:
        return settings
    chain = (*seen, file.resolve())
    if not isinstance(base, str) or (folder / base).resolve() in chain:
        raise ValueError(
            f"{file}: `extends` is {base!r}; give another experiment file, relative to this one, or a built-in name"
        )
    try:
        inherited = _read_with_base(_find_base(folder, base), root, chain)
        leave_out_other_kinds(inherited, settings, root)
        return _merge(inherited, settings)
    except ValueError as error:
        raise ValueError(f"{file}: `extends`: {error}") from error


def _find_base(folder: Path, base: str) -> Path:
    """Return the file that one in `folder` extends: relative to it, or a built-in experiment by its name."""
    file = folder / base
    return file if file.is_file() or base.endswith(ENDINGS) else find_experiment(base)


def _place_files(section: Any, key: str, folder: Path) -> None:
    """Resolve the files that a file names, which are relative to its folder."""
    names = section.get(key) if isinstance(section, dict) else None
    if isinstance(names, list):
        section[key] = [str(folder / expand_home(name)) if isinstance(name, str) else name for name in names]


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Merge two settings: sections are merged, everything else is replaced."""
    merged = {**base, **changes}
    for key, value in base.items():
        if isinstance(value, dict) and isinstance(merged[key], dict):
            merged[key] = _merge(value, merged[key])
    return merged
