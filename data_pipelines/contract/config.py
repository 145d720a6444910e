"""Base class of all settings: frozen, strict, and free of torch and ray."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer
from pydantic_core import PydanticCustomError

from data_pipelines.storage.raw_mirror import mirror_of, uri_of
from data_pipelines.storage.uri import refuse_other_text

INPUT = "must exist before a run starts"
OnBadFile = Literal["refuse", "skip"]
"""Treatment of damaged raw files: `refuse` names all of them and prepares nothing, `skip` leaves out their rows, which
are counted and named in the manifest."""

_SECRET_OPTION = re.compile(r"[?&][^=&]*(?:key|secret|token|signature|sig|password|passwd|pwd)=[^&]", re.IGNORECASE)
"""An option of a URI that holds a secret, such as `client_secret=` or the signature of a link that somebody shared."""


def expand_home(path: Path | str, advice: str = "give this path in full") -> Path:
    """Replace a leading `~` by the home folder. Raises ValueError with the advice when none is known."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: no home folder is known for {Path(path).parts[0]}; {advice}") from error


def _make_absolute(path: Path) -> Path:
    """Return a path in full. Raises ValueError for a URI, which would become a folder `s3:` here, and for no UTF-8."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise ValueError("this setting takes a path of a file system, no URI; mount it, or copy it to a disk")
    whole = expand_home(path).absolute()
    refuse_other_text(str(whole))
    return whole


def refuse_credentials(uri: str) -> None:
    """Raise a validation error for a key, a password or a token in a URI, which is not repeated in the message.

    A name before `@` alone is none where it is a container, a user or `anonymous`; that of S3 is a key.
    """
    has_name = re.search(r"://[^/]*@", uri) and not re.match(
        r"(?:abfss?|gs|gcs|hdfs|viewfs)://[^:/@]*@[^/@]*(?:/|$)", uri
    )
    if has_name or _SECRET_OPTION.search(uri):
        raise PydanticCustomError("secret", "credentials do not belong in a path; give them in the environment")


def _complete_uri(uri: str) -> str:
    if "://" not in uri:
        return str(_make_absolute(Path(uri)))
    refuse_credentials(uri)
    return uri.rstrip("/")


def _place_raw(given: object) -> object:
    if not isinstance(given, str) or "://" not in given:
        return given
    refuse_credentials(given)
    return str(mirror_of(given.rstrip("/")))


def _make_tuple(given: object) -> object:
    if isinstance(given, str | Path):
        return (given,)
    return tuple(given) if isinstance(given, list) else given


FilePath = Annotated[Path, AfterValidator(_make_absolute)]
"""Path made absolute against the working directory."""
FolderUri = Annotated[
    str, BeforeValidator(lambda given: str(given) if isinstance(given, Path) else given), AfterValidator(_complete_uri)
]
"""Folder on any storage: a path made absolute like `FilePath`, or a URI such as `s3://bucket/folder` as it is."""
InputPath = Annotated[Path, AfterValidator(_make_absolute), INPUT]
"""Path like `FilePath` to data that the user must provide."""
InputPaths = Annotated[tuple[InputPath, ...], BeforeValidator(_make_tuple)]
"""Paths like `InputPath`; one alone needs no list."""
RawPath = Annotated[
    Path,
    BeforeValidator(_place_raw),
    AfterValidator(_make_absolute),
    PlainSerializer(lambda path: uri_of(path) or str(path), return_type=str, when_used="json"),
    INPUT,
]
"""Path like `InputPath`, or a URI such as `s3://bucket/folder`, which is copied to this machine's disk to be read."""
ModelPath = Annotated[Path, AfterValidator(lambda path: path if is_run_name(path) else _make_absolute(path)), INPUT]
"""Path like `InputPath`, or the name of a run whose model is meant, which stays as it is."""
_WEIGHTS = (".pth", ".pt", ".th", ".ckpt", ".bin", ".safetensors", ".npz", ".npy", ".zip", ".tar", ".gz")


def is_run_name(text: Path | str) -> bool:
    """Return whether a reference has the form of a run's name: no folder in it, and no ending of a file of weights.

    A file or folder of the working directory is written `./name`; its existence does not matter.
    """
    name = str(text)
    return bool(name) and "/" not in name and not name.startswith((".", "~")) and not name.lower().endswith(_WEIGHTS)


class Config(BaseModel):
    """Frozen settings; unknown keys, `nan` and `inf` are refused, and defaults are checked like given values."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def place_free(settings: BaseModel) -> dict[str, Any]:
    """Return settings as JSON without the places of raw data and of prepared rows, which shape no result.

    Raw data are `data.*`: whether each is given stays. Of another input its name stays, and of a model of a run the
    run's folder and the model, since the storage of runs may move.
    """
    plain = settings.model_dump(mode="json")
    for dotted, path in input_paths(settings):
        *sections, name = (int(part) if part.isdigit() else part for part in dotted.split("."))
        section: Any = plain
        for part in sections:
            section = section[part]
        section[name] = "(given)" if "data" in sections else _name_of_model(path)
    for section in _sections(plain):
        section.pop("prepared", None)
    return plain


def _name_of_model(path: Path) -> str:
    parts = path.parts
    is_of_run = len(parts) > 4 and parts[-4] == "runs" and parts[-2] == "models"
    return "/".join(parts[-3:]) if is_of_run else path.name


def _sections(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plain
    for value in plain.values():
        if isinstance(value, dict):
            yield from _sections(value)


def input_paths(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Path]]:
    """Yield every `InputPath` that is set, with its dotted key; those of a list end with their index."""
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from input_paths(value, f"{prefix}{name}.")
            continue
        is_input = INPUT in (*field.metadata, *_optional_metadata(field.annotation))
        if is_input and isinstance(value, Path):
            yield f"{prefix}{name}", value
        elif is_input and isinstance(value, tuple):
            yield from ((f"{prefix}{name}.{index}", path) for index, path in enumerate(value))


def _optional_metadata(annotation: object) -> Iterator[object]:
    for member in getattr(annotation, "__args__", ()):
        yield from getattr(member, "__metadata__", ())
        yield from _optional_metadata(member)
