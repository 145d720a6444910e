"""A trial of a search: a run ranked by one metric, whose settings may change while it trains."""

import queue
import shutil
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from data_pipelines.storage.checksums import MANIFEST, verify
from data_pipelines.storage.folder import Folder
from trainables.contract.training_config import Training
from trainables.engine.files.checkpoints import find_checkpoint
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop.loop import run_training
from trainables.engine.loop.worker_context import CancelledError
from trainables.plan import Plan
from trainables.ray_train.row_sources import build_local_sources, build_shared_sources
from trainables.ray_train.run_datasets import RunDatasets, build_datasets
from trainables.ray_train.run_trainable import RunTrainable, as_run_error
from trainables.ray_train.worker_main import RunError, run_locally
from trainables.run import set_dotted, validate_strictly
from trainables.run_paths import CHECKPOINTS

OBJECTIVE = "objective"
"""Key in a result: the metric that ranks trials, with its sign turned so that more is better; absent until it is
measured."""
PLAN, ROWS, RUNS, METRIC, MODE, WAITS = "plan", "rows", "runs", "metric", "mode", "waits"
"""Keys in a trial's config, besides dotted settings: its plan, the key of its shared rows or None, the folder of runs,
the metric and its mode, and whether the training waits at each report until Tune asks for the next step, so that a
pause is exact."""
JOIN_S = 120.0
"""How long a cancelled training may take to end; cancellation is checked before every step, not during an
evaluation."""
ATTEMPTS = 20
"""The source run continues meanwhile, and may delete the checkpoint that is being copied."""


class SearchTrial(RunTrainable):
    """Trial whose run is that of its name, because Tune may pass the config of one trial to another.

    With one worker it trains in its own process, which then holds the worker's resources.
    """

    def setup(self, config: dict[str, Any], *, shared: dict[str, RunDatasets]) -> None:  # pyright: ignore
        """Store the plan of the config, see the keys above; `shared` has decoded datasets, which the driver owns."""
        self._shared = shared
        self._store(config)

    def _store(self, config: dict[str, Any]) -> None:
        plan: Plan = config[PLAN]
        name = self.trial_name
        run = plan.run.model_copy(update={"training": change_training(plan.run.training, config)})
        waits = bool(config.get(WAITS))
        folder = Folder(config[RUNS]) / name
        plan = replace(plan, run=run, folder=folder, run_id=name, awaits_checkpoints=waits)
        super().setup(config, plan=plan, datasets=self._shared.get(config[ROWS], {}))
        self._metric, self._sign = config[METRIC], 1.0 if config[MODE] == "max" else -1.0
        self._waits = waits
        self._error: RunError | None = None
        self._cancelled, self._asked = threading.Event(), threading.Semaphore(0)

    def reset_config(self, new_config: dict[str, Any]) -> bool:  # pyright: ignore
        """Run the next trial in this process (actor reuse), which saves a short trial from importing torch again.

        Returns False when the previous training does not end in time.
        """
        self.cleanup()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                return False
        self._store(new_config)
        return True

    def cleanup(self) -> None:
        """End the training, in this process or in its workers."""
        if not trains_inside(self._plan):
            super().cleanup()
            return
        self._cancelled.set()
        self._asked.release()
        if self._thread is not None:
            with suppress(queue.Empty):  # the training may be blocked on a full queue
                self._messages.get_nowait()

    def step(self) -> dict[str, Any]:
        """Wait for the next result, as a single run does.

        An error is first returned as a result, and raised in the next call, so that Tune retries or gives the trial up.
        """
        if self._error:
            raise self._error
        self._asked.release()
        result = super().step()
        if "error" in result:
            self._error = RunError(result["error"], result["trace"], result["is_bad_input"])
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
        """Copy the engine's newest checkpoint, so that another trial can resume it."""
        copy_newest_checkpoint(self._plan.folder, Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Install a copied checkpoint, possibly another trial's, to resume from."""
        install_checkpoint(self._plan.folder, Path(checkpoint))

    def _launch(self) -> None:
        if not trains_inside(self._plan):
            try:
                self._datasets = self._datasets or build_datasets(self._plan)
            except RunError as error:
                self._messages = queue.Queue()
                self._messages.put(("failed", error, None))
            else:
                super()._launch()
            return
        self._messages = queue.Queue(maxsize=1)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        messages, cancelled, asked, datasets = self._messages, self._cancelled, self._asked, self._datasets

        def report(content: WorkerReport) -> None:
            messages.put(("report", content, None))
            if self._waits:
                asked.acquire()

        asked.acquire()
        try:
            build_sources = partial(build_shared_sources, datasets=datasets) if datasets else build_local_sources
            run_locally(self._plan, run_training, report, cancelled.is_set, build_sources)
        except CancelledError:
            return
        except BaseException as error:
            messages.put(("failed", as_run_error(error), None))


def change_training(training: Training, config: Mapping[str, Any]) -> Training:
    """Return the training settings with the changes that a scheduler has made in the trial's config."""
    settings = training.model_dump(mode="json")
    for key, value in config.items():
        section, _, rest = key.partition(".")
        if section == "training":
            set_dotted(settings, rest, value)
    return validate_strictly(Training, settings)


def trains_inside(plan: Plan) -> bool:
    """Return whether a trial trains in its own process, without a worker group."""
    return plan.scaling.num_workers == 1


def copy_newest_checkpoint(run: Folder, target: Path) -> bool:
    """Copy the newest undamaged checkpoint of a run into a local folder, under its own name.

    Returns whether there is one. Raises RuntimeError when every attempt failed because the run deleted its checkpoint.
    """
    for _ in range(ATTEMPTS):
        name, _ = find_checkpoint(run)
        if name is None:
            return False
        copy = target / Path(name).name
        try:
            with run.local(name) as files:
                shutil.copytree(files, copy)
            return True
        except (FileNotFoundError, shutil.Error):
            shutil.rmtree(copy, ignore_errors=True)
    raise RuntimeError(f"{run}: no checkpoint stayed long enough to be copied; raise training.keep_checkpoints")


def install_checkpoint(run: Folder, source: Path) -> bool:
    """Make the checkpoint in a local folder the only one of a run, which then resumes it; returns whether there is one.

    Raises RuntimeError when the checkpoint is damaged.
    """
    copies = sorted(source.iterdir()) if source.is_dir() else []
    for copy in copies:
        damage = verify(copy)
        if damage:
            raise RuntimeError(f"the checkpoint copied to {run} is damaged: {damage}")
        with run.new_folder(f"{CHECKPOINTS}/{copy.name}") as files:
            for file in copy.iterdir():
                if file.name != MANIFEST:  # written again by `new_folder`
                    shutil.copy2(file, files / file.name)
        for other in run.names(CHECKPOINTS):
            if other != copy.name:
                run.delete(f"{CHECKPOINTS}/{other}")
    return bool(copies)
