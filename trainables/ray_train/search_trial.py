"""A trial of a search: a run like any other, judged by one number, whose settings may change while it trains."""

import queue
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_pipelines.storage.folder import Folder
from trainables.contract.training_config import Training
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop.loop import run_training
from trainables.engine.loop.worker_context import CancelledError
from trainables.plan import Plan
from trainables.ray_train.checkpoint_transfer import copy_newest_checkpoint, install_checkpoint
from trainables.ray_train.run_trainable import RunTrainable, as_run_error
from trainables.ray_train.worker_main import RunError, run_locally
from trainables.run import set_dotted, validate_strictly

OBJECTIVE = "objective"
"""In a result: the metric that trials are compared by, turned so that more is better; absent until it is measured."""
PLAN, RUNS, PREFIX, METRIC, MODE, WAITS = "plan", "runs", "prefix", "metric", "mode", "waits"
"""In the config of a trial, besides dotted settings: its plan, where runs lie, what precedes the trial's id in the name
of its run, the goal, and whether the training waits at each report until it is asked for more, so that a pause is
exact."""
JOIN_S = 120.0
"""How long a cancelled training may take to end; it looks before every step, but not while it evaluates."""


class SearchTrial(RunTrainable):
    """Its run's folder follows from its id alone, as Tune may hand the config of one trial to another.

    With one worker it trains in its own process, which then holds the worker's resources.
    """

    def setup(self, config: dict[str, Any]) -> None:  # pyright: ignore
        plan: Plan = config[PLAN]
        name = f"{config[PREFIX]}{self.trial_id}"
        run = plan.run.model_copy(update={"training": change_training(plan.run.training, config)})
        super().setup(config, plan=replace(plan, run=run, folder=Folder(config[RUNS]) / name, run_id=name))
        self._metric, self._sign = config[METRIC], 1.0 if config[MODE] == "max" else -1.0
        self._waits = bool(config.get(WAITS))
        self._error: RunError | None = None
        self._cancelled, self._asked = threading.Event(), threading.Semaphore(0)

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # pyright: ignore
        """Take the next trial into this process: what it has imported is the dearest part of a short one."""
        self.cleanup()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                return False
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """End the training, wherever it is."""
        if not trains_inside(self._plan):
            super().cleanup()
            return
        self._cancelled.set()
        self._asked.release()
        if self._thread is not None:
            with suppress(queue.Empty):  # the training may wait to put a report
                self._messages.get_nowait()

    def step(self) -> dict[str, Any]:
        """Like that of a single run; but an error comes as a result first, and is raised after it, so that Tune tries
        again or gives the trial up."""
        if self._error:
            raise self._error
        self._asked.release()
        result = super().step()
        if "error" in result:
            self._error = RunError(result["error"], result["trace"])
            return {**result, "done": False}
        report = result.get("report")
        return result if report is None else {**result, **self._judge(report)}

    def _judge(self, report: WorkerReport) -> dict[str, Any]:
        position = {"step": report["step"], "epoch": report["step"] // report["steps_per_epoch"]}
        value = report["metrics"].get(self._metric)
        if value is not None:
            return {**position, OBJECTIVE: self._sign * value}
        if not report["speed"]["evaluation_s"]:
            return position
        known = ", ".join(sorted(report["metrics"]))
        self._error = RunError(f"the search ranks by {self._metric!r}, which no evaluation gives; known: {known}")
        return {**position, "error": str(self._error), "trace": "", "done": False}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """A copy of the engine's newest, for whoever takes this trial's place."""
        copy_newest_checkpoint(self._plan.folder, Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on from a copy, which may be another trial's."""
        install_checkpoint(self._plan.folder, Path(checkpoint))

    def _launch(self) -> None:
        if not trains_inside(self._plan):
            super()._launch()
            return
        self._messages = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        messages, cancelled, asked = self._messages, self._cancelled, self._asked

        def report(content: WorkerReport) -> None:
            messages.put(("report", content))
            if self._waits:
                asked.acquire()

        asked.acquire()
        try:
            run_locally(self._plan, run_training, report, cancelled.is_set)
        except CancelledError:
            return
        except BaseException as error:
            messages.put(("failed", as_run_error(error)))


def change_training(training: Training, config: Mapping[str, Any]) -> Training:
    """The settings of a training that a scheduler may have changed since the plan was made."""
    settings = training.model_dump(mode="json")
    for key, value in config.items():
        section, _, rest = key.partition(".")
        if section == "training":
            set_dotted(settings, rest, value)
    return validate_strictly(Training, settings)


def trains_inside(plan: Plan) -> bool:
    """Whether a trial needs no worker group."""
    return plan.scaling.num_workers == 1
