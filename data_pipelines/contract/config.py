"""Base class of all settings: frozen, strict, and free of torch and ray."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

INPUT = "must exist before a run starts"
FilePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
"""Path made absolute against the working directory."""
InputPath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute()), INPUT]
"""Path like `FilePath` to data that the user must provide."""


class Config(BaseModel):
    """Frozen settings; unknown keys, `nan` and `inf` are refused, and defaults are checked like given values."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def input_paths(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every `InputPath` that is set, with its dotted key."""
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
