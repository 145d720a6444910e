"""Evaluation of a saved model, apart from any training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from data_pipelines.storage.checksums import DamagedFolderError, verify
from data_pipelines.storage.folder import Folder
from trainables.contract.evaluation import EvaluationResult
from trainables.contract.prediction import Row, write_csv
from trainables.contract.task import Task
from trainables.engine.files.checkpoints import load_evaluated, refuse_other_architecture
from trainables.engine.files.panel_files import picture_of, save_panels
from trainables.engine.loop.evaluation import isolated_random, run_evaluation, split_finite
from trainables.engine.loop.worker_context import WorkerContext
from trainables.run import Run
from trainables.run_paths import METADATA, PREDICTIONS


def evaluate_saved_model(run: Run, worker: WorkerContext, *, source: Folder, target: Folder) -> dict[str, Any]:
    """Evaluate the model or checkpoint in `source` on all ranks; pictures go to `target`.

    `source` is a model version or a checkpoint; `target` gets the picture files, written by rank 0.

    Returns:
        Metrics, messages, epoch, step, the names of the picture files, and the path of the table of predictions, if the
        evaluator gives any.

    Raises:
        ValueError: `source` is damaged or of another architecture.
    """
    saved = load_saved(source)
    _, evaluation = run_saved(run, worker, saved, origin=str(source), has_pulse=True)
    names: list[str] = []
    rows = number_samples(worker.collectives.gather_values(list(evaluation.predictions())))
    if worker.collectives.rank == 0:
        if rows:
            target.write(PREDICTIONS, write_csv(rows))
        names = save_panels(target, evaluation.panels, step=saved["step"], epoch=saved["epoch"])
    metrics, messages = split_finite(evaluation.metrics)
    return {
        "metrics": metrics,
        "messages": messages,
        "epoch": saved["epoch"],
        "step": saved["step"],
        "pictures": [picture_of(target, name) for name in names],
        "predictions": f"{target}/{PREDICTIONS}" if rows else None,
    }


def run_saved(
    run: Run, worker: WorkerContext, saved: Mapping[str, Any], *, origin: str, has_pulse: bool = False
) -> tuple[Task, EvaluationResult]:
    """Build the task of what `load_saved` returned, and evaluate it on all ranks; returns both.

    Raises ValueError naming `origin` for another architecture.
    """
    task = worker.build_task(run.workload, worker.data_spec, run.seed)
    restore_task(task, saved["weights"], saved["task"], origin)
    task.module.to(worker.device)
    with isolated_random():
        task.prepare_evaluation(worker.start(run.seed))
    evaluation = run_evaluation(
        task,
        task.module,
        worker.feed,
        worker.collectives,
        worker.device,
        precision=run.training.precision,
        has_pulse=has_pulse,
    )
    return task, evaluation


def restore_task(task: Task[Any], weights: Mapping[str, Tensor], state: Mapping[str, Any], origin: str) -> None:
    """Put a saved model into a task built from its settings. Raises ValueError for another architecture."""
    task.load_state_dict(state)
    refuse_other_architecture(task.module.state_dict(), weights, origin)
    task.module.load_state_dict(weights)


def number_samples(by_rank: Sequence[Sequence[Row]]) -> list[Row]:
    """Return the rows of all ranks, split by split, with the number of each sample in its split as `sample`.

    Ranks hold contiguous shares of a split, in order; rows that bring their own number are sorted by it.
    """
    splits: dict[Any, list[dict[str, Any]]] = {}
    for rows in by_rank:
        for row in rows:
            numbered = splits.setdefault(row["split"], [])
            numbered.append({"sample": len(numbered), **row})
    return [row for rows in splits.values() for row in sorted(rows, key=lambda row: row["sample"])]


def load_saved(source: Folder) -> dict[str, Any]:
    """Read weights, task state, epoch and step of a model version or a checkpoint (its EMA weights, if any).

    Raises DamagedFolderError when its files are not as they were written.
    """
    with source.local("") as files:
        damage = verify(files)
        if damage is not None:
            raise DamagedFolderError(f"{source} is no undamaged model or checkpoint: {damage}")
        return _load_model(files) if (files / "task.pt").exists() else load_evaluated(files)


def _load_model(files: Path) -> dict[str, Any]:
    metadata: Mapping[str, Any] = Folder(str(files)).read_json(METADATA)
    return {
        "weights": load_file(files / "model.safetensors"),
        "task": torch.load(files / "task.pt", weights_only=True),
        "epoch": metadata["epoch"],
        "step": metadata["global_step"],
    }
