"""Inputs that a run was made from: its prepared data and the files that its settings name; kept in the run's folder."""

from pathlib import Path
from typing import Any, TypedDict

from data_pipelines.contract.config import input_paths
from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import IDENTITY, load_identity
from trainables.contract.workload_config import WorkloadConfig
from trainables.plan import Plan

INPUTS = "inputs.json"


class Input(TypedDict):
    """Input of a run."""

    name: str
    type: str
    """`dataset`, or `input` for a file or folder that the settings name."""
    path: str
    metadata: dict[str, Any]


def describe_inputs(plan: Plan) -> list[Input]:
    """Return plain data for `inputs.json`."""
    manifest = plan.manifest
    rows = {split: sum(shard.num_rows for shard in shards) for split, shards in manifest.splits.items()}
    metadata: dict[str, Any] = {"source": manifest.source, "source_hash": manifest.source_hash, "rows": rows}
    if manifest.counts:
        metadata["counts"] = manifest.counts
    data: Input = {
        "name": manifest.pipeline,
        "type": "dataset",
        "path": str(plan.prepared / "manifest.json"),
        "metadata": metadata,
    }
    return [data, *(_describe_path(key, path) for key, path in _named_paths(plan.run.workload))]


def _named_paths(workload: WorkloadConfig) -> list[tuple[str, Path]]:
    # raw data are recorded with the prepared rows made of them
    return [(key, path) for key, path in input_paths(workload) if not key.startswith("data.") and path.exists()]


def _describe_path(key: str, path: Path) -> Input:
    metadata: dict[str, Any] = {"setting": f"workload.{key}"}
    if path.is_file():
        metadata["bytes"] = path.stat().st_size
    run = _run_of(path)
    if run is None:
        return {"name": path.name, "type": "input", "path": str(path), "metadata": metadata}
    metadata |= {"run_id": run.name, "run": load_identity(Folder(str(run))).name}
    name = run.name if path == run else f"{run.name}-{path.name}"
    return {"name": name, "type": "input", "path": str(path), "metadata": metadata}


def _run_of(path: Path) -> Path | None:
    """Return the folder of the run that the path is, or that the model at the path belongs to; None for neither."""
    return next((folder for folder in (path, path.parent.parent) if (folder / IDENTITY).exists()), None)
