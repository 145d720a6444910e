"""The manifest file: `prepare` writes it last, and readers load it first."""

from typing import Any, TypeVar

from pydantic import ValidationError

from data_pipelines.contract.config import Config
from data_pipelines.contract.pipeline import DataPipeline, Manifest
from data_pipelines.readers.bad_file import few
from data_pipelines.storage.folder import Folder

MANIFEST_NAME = "manifest.json"
RecordT = TypeVar("RecordT", bound=Config)


def load_manifest(folder: Folder, pipeline: DataPipeline[Any]) -> Manifest:
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


def read_manifest(folder: Folder) -> Manifest | None:
    """Read the manifest of any pipeline's folder; None when there is none. Raises ValueError when it is damaged."""
    return read_record(folder, MANIFEST_NAME, Manifest)


def read_record(folder: Folder, name: str, kind: type[RecordT]) -> RecordT | None:
    """Read a JSON file of a prepared folder; None when there is none. Raises ValueError when it is damaged."""
    content = folder.read_if_any(name)
    if content is None:
        return None
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "its beginning"
        words = f"{folder / name} is damaged at {where}; remove the folder {folder} and run prepare again"
        raise ValueError(words) from error


def save_manifest(folder: Folder, manifest: Manifest) -> None:
    """Write the manifest, completely or not at all."""
    save_text(folder, MANIFEST_NAME, manifest.model_dump_json(indent=2))


def save_text(folder: Folder, name: str, text: str) -> None:
    """Replace a file's text, completely or not at all."""
    folder.write(name, text.encode())
    folder.sync()


def refuse_other_pipeline(folder: Folder, *, found: str, wanted: str) -> None:
    """Raise ValueError unless both keys are the same."""
    if found != wanted:
        raise ValueError(
            f"{folder} holds the data of {found}, but these settings ask for {wanted}; "
            "give another folder as `prepared`, or the settings that the folder was made with"
        )
