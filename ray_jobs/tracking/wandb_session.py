"""One session of a W&B run: `wandb.init`, `log` and `finish` under a deadline; each failure is a SessionLostError."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ray_jobs.run_folder.identity import Identity
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.mirror_files import WandbDir
from ray_jobs.tracking.wandb_core import WandbCore

DEFAULT_PROJECT = "quintet"
CONFIRM_S = 10.0
GRACE_S = 10.0
"""Seconds beyond W&B's own timeout after which W&B is given up."""


class SessionLostError(RuntimeError):
    """Failure of a W&B session; another session may succeed."""


class Session:
    """Session of a W&B run, the only caller of `wandb.init`, `log` and `finish`; belongs to one thread.

    W&B may hang in any call. No thread can end another, so a second one asks `find_delay` and takes over. `core` is W&B
    in this process, and `place` the folder of its files.
    """

    def __init__(
        self, core: WandbCore, tracking: Tracking, identity: Identity, place: WandbDir, say: Callable[[str], None]
    ):
        self._core, self._tracking, self._identity, self._place, self._say = core, tracking, identity, place, say
        self._axes: set[str] = set()
        self._refused: set[str] = set()
        self._call: tuple[str, float, float] | None = None
        self.is_abandoned = False
        """Whether another thread has taken over; every later call ends the session's own thread."""

    def open(self, mode: str, config: Mapping[str, Any], stop: Callable[[], None]) -> None:
        """Begin or resume the W&B run. Raises SessionLostError with a message for people.

        `mode` is `online` or `offline`; `stop` is called when a user presses W&B's Stop button.
        """
        wandb = self._core.start()
        with self._with_deadline(self._tracking.init_timeout_s + GRACE_S, "start"):
            self.run: Any = wandb.init(
                **self._describe_run(),
                config=dict(config),
                dir=str(self._place.root),
                mode=mode,
                resume="allow",
                reinit="create_new",
                allow_val_change=True,
                settings=wandb.Settings(
                    console="off",
                    silent=True,
                    disable_git=True,
                    disable_code=True,
                    disable_job_creation=True,
                    sagemaker_disable=True,  # it would choose the run's id
                    x_disable_stats=True,  # it would measure this process's machine, not the workers'
                    x_disable_meta=True,  # it would describe this process
                    x_save_requirements=False,
                    init_timeout=self._tracking.init_timeout_s,
                    finish_timeout=self._tracking.finish_timeout_s,
                    finish_timeout_raises=True,
                    stop_on_fatal_error=False,
                    stop_fn=stop,
                ),
            )
        self.folder = Path(self.run.dir).parent
        self.last_step = int(self.run.starting_step) - 1
        """Online: the last step whose row the server had; `run.step` is 0 after a resume."""
        self.logged_step = self.last_step
        """The last step that was logged."""

    def _describe_run(self) -> dict[str, Any]:
        """Return what the run is called: by a setting, or else by a variable of W&B, or else by the record."""
        identity, tracking = self._identity, self._tracking
        team, _, project = (tracking.project or "").rpartition("/")
        tags = tracking.tags or [tag for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag]
        return {
            "project": project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
            "entity": tracking.entity or team or None,
            "id": identity.wandb_id,
            "name": identity.name,
            "group": tracking.group or os.environ.get("WANDB_RUN_GROUP") or identity.group,
            "job_type": identity.job_type,
            "tags": [*tags, *identity.tags],
            "notes": tracking.notes,
        }

    def with_containment(self, what: str) -> AbstractContextManager:
        """Return a context that turns failures and delays of W&B into SessionLostError; `what` names the call."""
        return self._with_deadline(self._tracking.finish_timeout_s + GRACE_S, what)

    @contextmanager
    def _with_deadline(self, seconds: float, what: str) -> Iterator[None]:
        """Turn every error inside the block into SessionLostError, and let `find_delay` see how long it takes."""
        self._call = (what, seconds, time.monotonic() + seconds)
        try:
            yield
        except Exception as error:  # containment: whatever W&B does, the training continues
            words = " ".join(str(error).split())[:200]
            raise SessionLostError(f"{what}: {type(error).__name__}: {words}") from error
        finally:
            self._call = None
            if self.is_abandoned:
                raise SystemExit  # of this thread

    def find_delay(self) -> str | None:
        """Return which call of W&B is not answered in time, None while all is well; for another thread."""
        call = self._call
        if call is None or time.monotonic() < call[2]:
            return None
        return f"{call[0]}: TimeoutError: no answer in {call[1]:.0f} s"

    def log(self, values: Mapping[str, Any], axes: Mapping[str, str], *, step: int, at: float) -> None:
        """Log one row at its own step. A value that W&B refuses is left out and reported once.

        `axes` has the x-axis of each metric, and `at` is the row's time, in seconds since the epoch.

        Raises:
            SessionLostError: W&B is gone.
        """
        with self.with_containment("log"):
            for metric in sorted((axes.keys() | set(axes.values())) - self._axes):
                self.run.define_metric(metric, step_metric=axes.get(metric))
                self._axes.add(metric)
            row = {**values, "_timestamp": at}
            self.logged_step = step
            try:
                self.run.log(row, step=step, commit=True)
            except (TypeError, ValueError):
                self._log_one_by_one(row, step)

    def _log_one_by_one(self, row: Mapping[str, Any], step: int) -> None:
        for name, value in row.items():
            try:
                self.run.log({name: value}, step=step)
            except (TypeError, ValueError) as error:
                if name not in self._refused:
                    self._say(f"W&B does not take {name!r} ({error}); it is left out there")
                self._refused.add(name)
        self.run.log({}, step=step, commit=True)

    def summarise(self, values: Mapping[str, Any]) -> None:
        """Put values in the run's summary."""
        with self.with_containment("summary"):
            self.run.summary.update(dict(values))

    def finish(self, exit_code: int) -> None:
        """Wait, up to the deadline, until all has been sent or written. Raises SessionLostError when it was not."""
        with self.with_containment("finish"):
            self._size = self._written_bytes()
            self.run.finish(exit_code=exit_code)

    def wait_until_written(self) -> None:
        """Wait, after an offline `finish`, until W&B has closed the session's file. Raises SessionLostError.

        W&B does not say that a disk was full; it then writes nothing more, not even the end of the run.
        """
        with self._with_deadline(CONFIRM_S, "write"):
            while self._core.has_open(self.folder):
                time.sleep(0.01)
            self._place.refuse_full_disk(writes=True)
            if self._core.is_gone() or self._written_bytes() <= self._size:
                raise OSError("it did not write the end of the run")

    def _written_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("*.wandb"))

    def confirm(self) -> int:
        """Return the last step that the server has, after `finish`.

        An upload that is refused in mid-run (401, 404) ends without an error, so the server is asked.
        """
        deadline = time.monotonic() + CONFIRM_S
        with self._with_deadline(CONFIRM_S + GRACE_S, "confirmation"):
            run = self._core.start().Api(timeout=int(CONFIRM_S)).run(self.run.path)
            while (step := int(run.lastHistoryStep)) < self.logged_step and time.monotonic() < deadline:
                time.sleep(0.5)
        return step
