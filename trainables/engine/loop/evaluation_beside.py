"""Evaluation beside the training: another process evaluates a checkpoint, whose metrics join the row of its step.

That process leaves in the run's folder what it found, so that a resumed run takes it too, and the model version in case
it is the best. Rank 0 looks for it between steps; best model and early stopping are decided then, in order of steps.
"""

import math
from typing import Any

from data_pipelines.storage.checksums import DamagedFolderError
from data_pipelines.storage.folder import Folder
from trainables.engine.files.model_versions import write_model
from trainables.engine.files.panel_files import save_panels
from trainables.engine.loop.due_actions import DueActions
from trainables.engine.loop.evaluation import goal_value, split_finite
from trainables.engine.loop.saved_model_evaluation import load_saved, run_saved
from trainables.engine.loop.selection import ModelSelection
from trainables.engine.loop.train_state import Evaluated, Position
from trainables.engine.loop.worker_context import WorkerContext
from trainables.engine.loop.worker_reporter import WorkerReporter
from trainables.run import Run
from trainables.run_paths import BESIDE, CHECKPOINTS, METADATA, MODELS, load_aliases, step_name, step_of

RESULT = "result.json"
POLL_S = 1.0
"""Seconds between two looks for a result that the training waits for."""


class EvaluationBeside:
    """Evaluations beside one training, on one of its ranks; all methods are called by all ranks."""

    def __init__(self, run: Run, worker: WorkerContext, reporter: WorkerReporter, selection: ModelSelection):
        self._is_wanted = run.training.evaluate == "beside"
        self._worker, self._reporter, self._selection = worker, reporter, selection
        self._has_waited = False

    def takes(self, due: DueActions) -> bool:
        """Return whether the evaluation that is due runs beside: not at an end, where nothing is trained meanwhile."""
        return self._is_wanted and due.evaluates and not (due.is_last or due.ends_stage)

    def request(self, position: Position, *, is_kept: bool) -> None:
        """Ask for an evaluation of the checkpoint that is saved at this position."""
        position.evaluations.append({"step": position.step, "is_kept": is_kept})
        self._reporter.evaluated.add(f"{CHECKPOINTS}/{step_name(position.step)}")

    def find_lost(self, position: Position) -> list[str]:
        """Return the checkpoints whose evaluation a resumed run has to ask for once more.

        What waits for one whose checkpoint is gone goes on without, with a message.
        """
        lost, gone = self._worker.collectives.broadcast(self._look(position) if self._is_first else None)
        position.evaluations = [each for each in position.evaluations if each["step"] not in gone]
        self._reporter.log(
            [f"step {step} stays without an evaluation: its checkpoint is no longer there" for step in gone]
        )
        return lost

    def _look(self, position: Position) -> tuple[list[str], list[int]]:
        folder, lost, gone = self._worker.folder, [], []
        for evaluated in position.evaluations:
            name = step_name(evaluated["step"])
            checkpoint = f"{CHECKPOINTS}/{name}"
            if self._worker.is_deleted_elsewhere(name):  # Ray knows it, and has been asked already
                continue
            if "error" in (read_result(folder, evaluated["step"]) or {"error": "not there"}):
                folder.delete(_place(evaluated["step"]))
                if folder.exists(checkpoint):
                    lost.append(checkpoint)
                else:
                    gone.append(evaluated["step"])
        return lost, gone

    @property
    def _is_first(self) -> bool:
        return self._worker.collectives.rank == 0

    def settle(self, position: Position, *, is_awaited: bool = False) -> bool:
        """Take what has been evaluated since the last call, in order of steps; returns whether nothing is missing.

        Metrics join the waiting rows of the position, and may be the best so far. What early stopping ends the run with
        is the last: later steps stay without. `is_awaited` is whether the training waits for what is missing, so that a
        process that left no result counts.

        Raises:
            RuntimeError, ValueError: An evaluation failed; ValueError when files or settings of the user are the cause.
        """
        while position.evaluations:
            evaluated = position.evaluations[0]
            found = self._find_result(evaluated["step"], is_awaited=is_awaited) if self._is_first else None
            result = self._worker.collectives.broadcast(found)
            if result is None:
                return False
            if "error" in result:
                words = f"the evaluation of step {evaluated['step']} failed: {result['error']}"
                raise (ValueError if result["is_bad_input"] else RuntimeError)(words)
            position.evaluations.pop(0)
            if "damage" in result:
                self._reporter.log([f"step {evaluated['step']} stays without an evaluation: {result['damage']}"])
                continue
            self._take(position, evaluated, result)
            if self._selection.stops(position):
                position.evaluations.clear()
                self._reporter.evaluated.clear()
        return True

    def _find_result(self, step: int, *, is_awaited: bool) -> dict[str, Any] | None:
        folder = self._worker.folder
        has_failed = is_awaited and self._worker.is_evaluation_failed(step_name(step))
        result = read_result(folder, step)
        if result is None and has_failed:
            words = "its process ended before it could begin; the files of Ray's session have its error"
            return {"error": words, "is_bad_input": False}
        return result

    def words_of_waiting(self, due: DueActions) -> list[str]:
        """Return what is said when the training waits for an evaluation: nothing at an end, and nothing twice."""
        if self._has_waited or not self.takes(due):
            return []
        self._has_waited = True
        return [
            "the training waits for the evaluation beside it, as the next one is due; evaluate less often "
            "(training.evaluate_every) if that should not slow it down"
        ]

    def _take(self, position: Position, evaluated: Evaluated, result: dict[str, Any]) -> None:
        row = next(row for row in position.waiting if row["step"] == evaluated["step"])
        row.update(result["metrics"])
        position.latest.update(result["metrics"])
        self._reporter.log(result["messages"])
        self._reporter.add_panels(result["panels"])
        goal = math.nan if result["goal"] is None else result["goal"]
        is_best = self._selection.judge(goal, position)
        if self._is_first:
            self._name_model(evaluated, is_best=is_best)

    def _name_model(self, evaluated: Evaluated, *, is_best: bool) -> None:
        """Give the model its aliases, unless a start before this one did, and has replaced it since."""
        folder, version = self._worker.folder, step_name(evaluated["step"])
        made = f"{_place(evaluated['step'])}/model"
        latest = load_aliases(folder)["latest"]
        aliases = ["latest"] if latest is None or latest < version else []
        aliases += ["best"] if is_best else []
        if (aliases or evaluated["is_kept"]) and folder.exists(made):
            folder.delete(f"{MODELS}/{version}")
            folder.move(made, f"{MODELS}/{version}")
        folder.delete(made)
        if folder.exists(f"{MODELS}/{version}"):
            self._reporter.name_model(version, aliases, is_kept=evaluated["is_kept"])

    def forget(self) -> None:
        """Delete what was found, at the end of the run."""
        if self._is_first:
            self._worker.folder.delete(BESIDE)


def evaluate_beside(run: Run, worker: WorkerContext, *, checkpoint: str) -> dict[str, float]:
    """Evaluate a checkpoint of the run in the worker's folder, in a process of its own; returns its metrics.

    The result lies in the run's folder afterwards; see `read_result`. A damaged checkpoint has no metrics, and the
    training, which needs it no longer, goes on without.
    """
    folder, place = worker.folder, _place(step_of(checkpoint))
    try:
        result = _evaluate(run, worker, checkpoint, f"{place}/model")
    except DamagedFolderError as error:
        result = {"damage": str(error), "metrics": {}}
    folder.write_json(f"{place}/{RESULT}", result)
    return result["metrics"]


def note_start(folder: Folder, checkpoint: str) -> int:
    """Count a start of the process that evaluates a checkpoint; returns how many there were before."""
    starts = f"{_place(step_of(checkpoint))}/starts"
    num_starts = len(folder.names(starts))
    folder.write(f"{starts}/{num_starts}", b"")
    return num_starts


def write_failure(folder: Folder, checkpoint: str, words: str, *, is_bad_input: bool) -> None:
    """Make an error the result of an evaluation; see `read_result`."""
    folder.write_json(f"{_place(step_of(checkpoint))}/{RESULT}", {"error": words, "is_bad_input": is_bad_input})


def _evaluate(run: Run, worker: WorkerContext, checkpoint: str, model: str) -> dict[str, Any]:
    """Evaluate, and write the model version and the pictures."""
    folder = worker.folder
    saved = load_saved(folder / checkpoint)
    task, evaluation = run_saved(run, worker, saved, origin=f"{folder}/{checkpoint}")
    goal = goal_value(evaluation, run.workload.selection_metric)
    metrics, messages = split_finite(evaluation.metrics)
    metadata = folder.read_json(f"{checkpoint}/{METADATA}")
    write_model(
        folder,
        model,
        weights=task.module.state_dict(),
        task_state=task.state_dict(),
        metadata={**metadata, "metrics": {**metadata["metrics"], **metrics}, "learnt": dict(task.learnt())},
    )
    return {
        "metrics": metrics,
        "goal": goal if math.isfinite(goal) else None,
        "messages": messages,
        "panels": save_panels(folder, evaluation.panels, step=saved["step"], epoch=saved["epoch"]),
    }


def _place(step: int) -> str:
    return f"{BESIDE}/{step_name(step)}"


def read_result(folder: Folder, step: int) -> dict[str, Any] | None:
    """Return what the evaluation of a step found: `metrics`, `goal`, `messages` and `panels`.

    Or its `error`, or the `damage` of its checkpoint. None when it has not come.
    """
    name = f"{_place(step)}/{RESULT}"
    return folder.read_json(name) if folder.exists(name) else None
