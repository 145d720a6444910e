"""The base of every settings class: frozen, strict, and free of torch and ray."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

INPUT = "must exist before a run starts"
FilePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""A path made absolute against the folder that the user stands in."""
InputPath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute()), INPUT]
"""Such a path, of something that the user must have put there."""


class Config(BaseModel):
    """Frozen settings; unknown keys, `nan` and `inf` are refused, and defaults are checked like given values."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def input_paths(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Every `InputPath` that is given, with its dotted key."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from input_paths(value, f"{prefix}{name}.")
            continue
        is_input = INPUT in (*field.metadata, *_optional_metadata(field.annotation))
        if is_input and isinstance(value, Path):
            yield f"{prefix}{name}", value


def _optional_metadata(annotation: object) -> Iterator[object]:
    for member in getattr(annotation, "__args__", ()):
        yield from getattr(member, "__metadata__", ())
