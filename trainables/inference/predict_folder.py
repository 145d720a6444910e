"""Prediction of many inputs into a folder, with a record of what is done."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from data_pipelines.contract.config import OnBadFile
from data_pipelines.prepared.warning_limit import limited_warnings
from data_pipelines.readers.bad_file import NAMED, BadFileError, few
from data_pipelines.storage.folder import Folder
from trainables.contract.prediction import Input, write_csv
from trainables.contract.predictor import PredictionOptions, Predictor, SavedModel
from trainables.inference.model_files import ModelState, load_state, load_task
from trainables.inference.prediction_record import TABLE, PredictionRecord, Result
from trainables.workloads import predictor_class

FLUSH_S = 10.0
"""Seconds of work that an interruption may cost."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionPlan:
    """A model, the settings of its use, and the folder of the results; pickled to every worker."""

    model: SavedModel
    options: PredictionOptions
    out: Folder

    def build_predictor(self, state: ModelState, device: torch.device) -> Predictor[Any]:
        """Build the predictor with the model's weights, see `load_state`."""
        task = load_task(self.model, state, device)
        return predictor_class(self.model.workload.name)(task, self.model, self.options, device)


Work = Callable[[Sequence[Input]], Iterator[Result]]
"""Predicts inputs and writes their files; yields the results in any order."""


@limited_warnings()
def predict_folder(
    plan: PredictionPlan,
    source: Folder | None,
    work: Work,
    *,
    on_bad_file: OnBadFile = "refuse",
    show: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Predict all inputs that have no result yet, and write the tables.

    `source` is None for a workload that draws samples, `work` does it, here or on a cluster, and `show` gets the
    numbers of finished inputs and of all. `on_bad_file` is whether damaged files are an error, after all others were
    predicted.

    Returns:
        `inputs`, `done_before`, `predicted`, `faults` (by name), `folder` and `tables`.

    Raises:
        ValueError: There is no input; results of another model lie in the folder; damaged files, with
            `on_bad_file="refuse"`.
    """
    _refuse_inside(plan.out, source)
    predictor = predictor_class(plan.model.workload.name)
    inputs = predictor.find_inputs(plan.model, source, plan.options)
    made_by = {"quintet": version("quintet"), "source": plan.model.source, "step": plan.model.step}
    record = PredictionRecord(plan.out, _header(plan, source), made_by)
    waiting = {item.name: item for item in record.remaining(inputs)}
    total, before = len(inputs), len(inputs) - len(waiting)
    faults: dict[str, str] = {}
    flushed = time.monotonic()
    show(before, total)
    try:
        for count, result in enumerate(work(list(waiting.values())), start=1):
            if result["fault"] is None:
                record.add(waiting[result["name"]], result)
            else:
                faults[result["name"]] = result["fault"]
            if time.monotonic() - flushed > FLUSH_S:
                record.flush()
                flushed = time.monotonic()
            show(before + count, total)
    finally:
        record.flush()
    record.finish(inputs)
    tables = predictor.summarise(plan.model, record.rows(inputs), plan.options, plan.out)
    for name, content in tables.items():
        plan.out.write(name, content if isinstance(content, bytes) else write_csv(content))
    _report(faults, on_bad_file)
    return {
        "inputs": total,
        "done_before": before,
        "predicted": len(waiting) - len(faults),
        "faults": faults,
        "folder": str(plan.out),
        "tables": [TABLE, *tables],
    }


def work_here(plan: PredictionPlan, device: torch.device) -> Work:
    """Return work that is done by this process; the weights are read when there is an input."""

    def work(inputs: Sequence[Input]) -> Iterator[Result]:
        if inputs:
            predictor = plan.build_predictor(load_state(plan.model), device)
            for item in inputs:
                yield predict_and_write(predictor, item, plan.out)

    return work


@torch.inference_mode()
def predict_and_write(predictor: Predictor[Any], item: Input, out: Folder) -> Result:
    """Predict one input, and write its files; a file that cannot be used is told in the result."""
    try:
        prediction = predictor.predict_input(item)
    except BadFileError as error:
        return {"name": item.name, "rows": [], "files": [], "fault": error.fault}
    for name, content in prediction.files.items():
        out.write(name, content)
    return {"name": item.name, "rows": list(prediction.rows), "files": list(prediction.files), "fault": None}


def _header(plan: PredictionPlan, source: Folder | None) -> dict[str, Any]:
    return {
        "workload": plan.model.workload.name,
        "model": plan.model.digest,
        "options": plan.options.model_dump(mode="json"),
        "input": None if source is None else str(source),
    }


def _refuse_inside(out: Folder, source: Folder | None) -> None:
    if source is not None and f"{out}/".startswith(f"{str(source).rstrip('/')}/"):
        raise ValueError(
            f"--out {out} lies in --input {source}, so that the next call would take its results for inputs; give "
            "another folder"
        )


def _report(faults: dict[str, str], on_bad_file: OnBadFile) -> None:
    if not faults:
        return
    lines = [f"{name}: {fault}" for name, fault in faults.items()]
    if on_bad_file == "skip":
        _log.warning("%d files are left out: %s", len(faults), few(lines, most=NAMED))
        return
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    raise ValueError(
        "\n  ".join(
            [
                f"{len(faults)} files cannot be used, all others are predicted; copy these again or remove them, or "
                "give --on-bad-file skip:",
                *lines[:NAMED],
                *more,
            ]
        )
    )
