"""The manifest file: `prepare` writes it last, and readers load it first."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from data_pipelines.contract.config import Config
from data_pipelines.contract.pipeline import DataPipeline, Manifest
from data_pipelines.readers.bad_file import few
from data_pipelines.storage.atomic_file import replace_file, sync_directory

MANIFEST_NAME = "manifest.json"
RecordT = TypeVar("RecordT", bound=Config)


def load_manifest(folder: Path, pipeline: DataPipeline[Any]) -> Manifest:
    """Read the manifest of a prepared folder.

    Raises ValueError when it is absent, unreadable, of another pipeline, or lacks rows of damaged files that the
    settings do not leave out.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise ValueError(f"{folder} holds no prepared data; run: quintet prepare EXPERIMENT")
    refuse_other_pipeline(folder, found=manifest.pipeline, wanted=pipeline.key)
    left_out = manifest.all_left_out
    if left_out and pipeline.on_bad_file == "refuse":
        raise ValueError(
            f"{folder} lacks the rows of {len(left_out)} damaged files ({few(each.file for each in left_out)}); give "
            "`--set workload.data.on_bad_file=skip` here too, or mend the files and run prepare with --again"
        )
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of any pipeline's folder; None when there is none. Raises ValueError when it is damaged."""
    return read_record(folder, MANIFEST_NAME, Manifest)


def read_record(folder: Path, name: str, kind: type[RecordT]) -> RecordT | None:
    """Read a JSON file of a prepared folder; None when there is none. Raises ValueError when it is damaged."""
    path = folder / name
    if not path.is_file():
        return None
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "its beginning"
        raise ValueError(f"{path} is damaged at {where}; remove the folder {folder} and run prepare again") from error


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, completely or not at all."""
    save_text(folder / MANIFEST_NAME, manifest.model_dump_json(indent=2))


def save_text(path: Path, text: str) -> None:
    """Replace a file's text, completely or not at all."""
    with replace_file(path) as file:
        file.write(text.encode())
    sync_directory(path.parent)


def refuse_other_pipeline(folder: Path, *, found: str, wanted: str) -> None:
    """Raise ValueError unless both keys are the same."""
    if found != wanted:
        raise ValueError(
            f"{folder} holds the data of {found}, but these settings ask for {wanted}; "
            "give another folder as `prepared`, or the settings that the folder was made with"
        )
