"""Planning of an Experiment: data prepared, resources checked, and all refused that can be refused before a start."""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from data_pipelines.contract.config import input_paths, is_run_name
from data_pipelines.contract.pipeline import DataPipeline, Manifest
from data_pipelines.prepared.making.shard_plan import MadeShard
from data_pipelines.prepared.manifest import MANIFEST_NAME
from data_pipelines.prepared.prepare import is_prepared, prepare
from data_pipelines.prepared.ray_dataset import object_store_bytes
from data_pipelines.readers.bad_file import printable
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.raw_mirror import exists, fetch, uri_of
from ray_jobs.cluster.connection import connect, has_address
from ray_jobs.cluster.resources import check_resources, machine_cpus, refuse_without_room_beside
from ray_jobs.run_folder.run_recorder import FINAL
from ray_jobs.runs.cpu_threads import count_usable_cpus
from ray_jobs.runs.model_references import no_such_run
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.tracking import Tracking
from ray_jobs.terminal import print_text
from trainables.plan import Plan
from trainables.run_paths import CHECKPOINTS
from trainables.workloads import build_pipeline, find_workload

if TYPE_CHECKING:
    from trainables.engine.files.histograms import Watch

_log = logging.getLogger(__name__)
RESIDENT_RATIO = 0.3
"""Decoded data are kept when they take at most this share of the object store (in local mode, of the free memory)."""
SETTLED = "settled.json"
"""File in the run's folder: what was resolved when the run began and must not change once there is a checkpoint."""

MIXED_PRECISION_TORCH = (2, 15)
"""The first torch whose sharding chooses a precision for each parameter."""

OnProgress = Callable[[int, int], None]


def prepared_folder(experiment: Experiment, pipeline: DataPipeline) -> Folder:
    """Return the folder of the rows: the one in the settings, or one under the storage path."""
    return pipeline.prepared or Folder(experiment.storage.path) / f"data/{pipeline.key}"


def prepare_data(
    experiment: Experiment,
    on_progress: OnProgress | None = None,
    *,
    again: bool = False,
    num_processes: int | None = None,
) -> tuple[Folder, Manifest]:
    """Prepare the Parquet rows unless they are there, or `again`; returns their folder and manifest.

    `on_progress` is called with the rows that are prepared, and how many there are; `again` writes rows anew that are
    there. By default all machines of the cluster whose address is given prepare, when it pays, or as many processes as
    CPUs.

    Raises ValueError naming the dotted key of a missing input.
    """
    pipeline = build_pipeline(experiment.workload)
    folder = prepared_folder(experiment, pipeline)
    if again or not folder.exists(MANIFEST_NAME):
        refuse_missing_inputs(experiment)
    copies = [path for _, path in input_paths(experiment.workload) if uri_of(path)]
    if copies and (again or not is_prepared(folder)):
        for path in copies:
            fetch(path, print_text)
    try:
        return folder, prepare(
            pipeline,
            folder,
            on_progress=on_progress,
            again=again,
            num_processes=num_processes,
            most_processes=count_usable_cpus()[0],
            make_elsewhere=_make_on_cluster if has_address() and not copies else None,
        )
    except OSError as error:
        raise ValueError(_explain(error, folder, [path for _, path in input_paths(experiment.workload)])) from error


def _explain(error: OSError, folder: Folder, inputs: Sequence[Path]) -> str:
    """Say that a raw file cannot be read, or that the prepared folder cannot be written."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | Path) else ""
    if any(Path(name).is_relative_to(path) for path in inputs):
        return f"{printable(name)}: cannot be opened ({error.strerror}); allow it to be read, or remove it"
    return (
        f"the data cannot be prepared in {folder}: {error}; give storage.path a folder that can be written, or "
        "correct what is named"
    )


def _make_on_cluster(*arguments: Any) -> Iterator[MadeShard]:
    from data_pipelines.prepared.making.shard_cluster import make_on_cluster

    connect()
    yield from make_on_cluster(*arguments)


def refuse_missing_inputs(experiment: Experiment, to_come: Collection[str] = ()) -> None:
    """Raise ValueError when a path in the settings does not exist, or a named run is neither there nor `to_come`."""
    lines = []
    for key, path in input_paths(experiment):
        if is_run_name(path) and path.name.partition(":")[0] not in to_come:
            lines.append(f"  {key}: {no_such_run(path.name, experiment.storage.path)}")
        elif not is_run_name(path) and not exists(path):
            lines.append(f"  {key}: there is no such file or folder: {uri_of(path) or path}")
    if lines and experiment.after:
        lines.append("`train` trains first what `after` names")
    if lines:
        raise ValueError("\n".join(["missing input:", *lines]))


def refuse_bad_inputs(experiment: Experiment, *, is_new: bool = False) -> None:
    """Raise ValueError for an unusable file in the settings, unless the run has begun and needs it no more.

    With `is_new` it begins anew.
    """
    folder = experiment.folder
    if is_new or not (folder.exists(FINAL) or folder.names(CHECKPOINTS)):
        experiment.workload.check_inputs()


def refuse_unshardable(experiment: Experiment) -> None:
    """Raise ValueError for a training whose parameters cannot be divided among workers (fsdp)."""
    training, num_workers = experiment.training, experiment.scaling.num_workers
    if num_workers < 2:
        raise ValueError(
            "`scaling.parallel: fsdp` gives each of several workers a part of the network, and `scaling.num_workers` "
            f"is {num_workers}; give 2 or more, or parallel: ddp"
        )
    if training.channels_last:
        raise ValueError(
            "`training.channels_last` orders weights in memory as torch cannot divide them among workers; leave it "
            "out, or take `scaling.parallel: ddp`"
        )
    torch = version("torch")
    if training.precision != "fp32" and tuple(map(int, torch.split(".")[:2])) < MIXED_PRECISION_TORCH:
        raise ValueError(
            f"`scaling.parallel: fsdp` with `training.precision: {training.precision}` needs torch 2.15 or newer, and "
            f"{torch} is installed; install it, or take precision: fp32 or parallel: ddp"
        )
    experiment.workload.check_sharding()


def build_plan(experiment: Experiment, on_progress: OnProgress | None = None, *, trains: bool = True) -> Plan:
    """Resolve the plan of a run, or of an evaluation, which needs no training rows; connects to Ray unless it is local.

    Raises ValueError for what cannot work.
    """
    training, scaling = experiment.training, experiment.scaling
    num_parts = max(scaling.num_workers, 1) * training.accumulate
    if training.batch_size < num_parts:
        raise ValueError(
            f"training.batch_size={training.batch_size} is the size over all workers and must be at least "
            f"scaling.num_workers x training.accumulate = {num_parts}"
        )
    if trains and scaling.parallel == "fsdp":
        refuse_unshardable(experiment)
    evaluates_beside = trains and training.evaluate == "beside"
    if evaluates_beside and not scaling.num_workers:
        raise ValueError(
            "`training.evaluate: beside` evaluates in a further process on Ray, and `scaling.num_workers` is 0, which "
            "trains without Ray; give 1 or more, or evaluate: inline"
        )
    prepared, manifest = prepare_data(experiment, on_progress)
    num_rows = manifest.num_samples("train")
    if trains and not num_rows:
        raise ValueError("these settings leave no rows to train on; they serve an evaluation")
    if trains and num_rows < training.batch_size:
        raise ValueError(
            f"training.batch_size={training.batch_size} is more than the {num_rows} rows of the training split; lower "
            "it, or give more data"
        )
    if scaling.num_workers:
        connect()
        uses_gpu = check_resources(scaling)
        if evaluates_beside:
            refuse_without_room_beside(scaling, uses_gpu)
    else:
        uses_gpu = _has_local_gpu(scaling.use_gpu)
    return _make_plan(experiment, prepared, manifest, _settle(experiment, prepared, manifest, trains=trains), uses_gpu)


def plan_rows(experiment: Experiment, on_progress: OnProgress | None = None) -> Plan:
    """Prepare the data of an experiment that is not trained itself, such as that of a search, and return their plan.

    Nothing is written to a run's folder. Raises ValueError as `prepare_data` does.
    """
    prepared, manifest = prepare_data(experiment, on_progress)
    return _make_plan(experiment, prepared, manifest, _choose(experiment, manifest), uses_gpu=False)


def _make_plan(
    experiment: Experiment, prepared: Folder, manifest: Manifest, settled: dict[str, Any], uses_gpu: bool
) -> Plan:
    scaling = experiment.scaling
    return Plan(
        run=experiment.run,
        workload=find_workload(experiment.workload.name),
        run_id=experiment.run_id,
        folder=experiment.folder,
        prepared=prepared,
        manifest=manifest,
        feed=settled["feed"],
        scaling=scaling,
        uses_gpu=uses_gpu,
        num_threads=scaling.threads_per_worker or settled["num_threads"],
        threads_reason="" if scaling.threads_per_worker else settled.get("threads_reason", ""),
        cache=None if prepared.is_local else experiment.storage.cache,
        watch=_watch(experiment.tracking),
    )


def _watch(tracking: Tracking) -> "Watch | None":
    if tracking.watch is None:
        return None
    from trainables.engine.files.histograms import Watch

    return Watch(
        gradients=tracking.watch in ("gradients", "all"),
        parameters=tracking.watch in ("parameters", "all"),
        every_steps=tracking.watch_every_steps,
    )


def _has_local_gpu(asked: bool | None) -> bool:
    if asked is False:
        return False
    import torch

    if asked and not torch.cuda.is_available():
        raise ValueError("scaling.use_gpu=true, but torch sees no GPU on this machine")
    return torch.cuda.is_available()


def _settle(experiment: Experiment, prepared: Folder, manifest: Manifest, *, trains: bool) -> dict[str, Any]:
    folder = experiment.folder
    if folder.exists(SETTLED) and folder.names(CHECKPOINTS):
        settled = folder.read_json(SETTLED)
        before = settled.get("source_hash", manifest.source_hash)
        if before == manifest.source_hash:
            return settled
        words = f"{folder} was trained on other data: the source hash was {before}, and in {prepared} it is "
        if trains:
            advice = "prepare the earlier data there again, or train anew with --new"
            raise ValueError(f"{words}{manifest.source_hash}; {advice}")
        _log.warning("%s", words + manifest.source_hash)
        return _choose(experiment, manifest)
    settled = _choose(experiment, manifest)
    folder.write_json(SETTLED, settled)
    return settled


def _choose(experiment: Experiment, manifest: Manifest) -> dict[str, Any]:
    scaling = experiment.scaling
    is_local = scaling.num_workers == 0
    cpus, reason = count_usable_cpus() if is_local else (machine_cpus(), "")
    feed = experiment.training.feed
    if feed == "auto":
        memory = psutil.virtual_memory().available if is_local else object_store_bytes()
        fits = sum(manifest.decoded_bytes.values()) <= RESIDENT_RATIO * memory
        feed = "resident" if fits else "stream"
    num_processes = max(scaling.num_workers, 1) + (experiment.training.evaluate == "beside")
    num_threads = max(cpus // num_processes, 1 if is_local else int(scaling.cpus_per_worker), 1)
    return {
        "feed": feed,
        "num_threads": num_threads,
        "threads_reason": reason,
        "source_hash": manifest.source_hash,
    }
