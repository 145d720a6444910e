"""Inputs that a run was made from: its prepared data and the files that its settings name; kept in the run's folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from data_pipelines.contract.config import input_paths
from data_pipelines.contract.pipeline import Manifest
from data_pipelines.prepared.manifest import MANIFEST_NAME
from data_pipelines.storage.checksums import hash_file
from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import IDENTITY, load_identity
from trainables.contract.workload_config import WorkloadConfig

INPUTS = "inputs.json"


class Input(TypedDict):
    """Input of a run."""

    name: str
    type: str
    """`dataset`, or `input` for a file or folder that the settings name."""
    path: str
    metadata: dict[str, Any]


def describe_inputs(workload: WorkloadConfig, prepared: Folder, manifest: Manifest) -> list[Input]:
    """Return plain data for `inputs.json`: the prepared rows, and each further file or model that the settings name."""
    rows = {split: sum(shard.num_rows for shard in shards) for split, shards in manifest.splits.items()}
    metadata: dict[str, Any] = {"source": manifest.source, "source_hash": manifest.source_hash, "rows": rows}
    if manifest.counts:
        metadata["counts"] = manifest.counts
    data: Input = {
        "name": manifest.pipeline,
        "type": "dataset",
        "path": str(prepared / MANIFEST_NAME),
        "metadata": metadata,
    }
    # raw data are recorded with the prepared rows made of them
    named = [(key, path) for key, path in input_paths(workload) if not key.startswith("data.") and path.exists()]
    return [data, *(_describe_path(key, path) for key, path in named)]


def refuse_other_inputs(folder: Folder, inputs: Sequence[Input]) -> None:
    """Raise ValueError when a run has begun with inputs of other content; where they lie does not matter."""
    if not folder.exists(INPUTS):
        return
    before: list[Input] = folder.read_json(INPUTS)
    known = {(each["type"], each["metadata"].get("setting")): each for each in before}
    for each in inputs:
        other = known.get((each["type"], each["metadata"].get("setting")))
        for mark in ("source_hash", "sha256"):
            there, here = (found["metadata"].get(mark) if found else None for found in (other, each))
            if there and here and there != here:
                assert other is not None
                what = each["metadata"].get("setting", "workload.data")
                raise ValueError(
                    f"{folder} holds a run on other content of {what}: {other['path']} with the digest {there[:12]} "
                    f"there, {each['path']} with {here[:12]} here; choose another tracking.run_name, or train it anew "
                    "with --new"
                )


def _describe_path(key: str, path: Path) -> Input:
    metadata: dict[str, Any] = {"setting": f"workload.{key}"}
    if path.is_file():
        metadata |= {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    elif (path / MANIFEST_NAME).is_file():
        metadata["sha256"] = hash_file(path / MANIFEST_NAME)  # it holds the sums of the model's files
    run = _run_of(path)
    if run is None:
        return {"name": path.name, "type": "input", "path": str(path), "metadata": metadata}
    metadata |= {"run_id": run.name, "run": load_identity(Folder(str(run))).name}
    name = run.name if path == run else f"{run.name}-{path.name}"
    return {"name": name, "type": "input", "path": str(path), "metadata": metadata}


def _run_of(path: Path) -> Path | None:
    """Return the folder of the run that the path is, or that the model at the path belongs to; None for neither."""
    return next((folder for folder in (path, path.parent.parent) if (folder / IDENTITY).exists()), None)
