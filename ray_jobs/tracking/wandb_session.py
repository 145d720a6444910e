"""One session of a W&B run: `wandb.init`, `log` and `finish` under a deadline; each failure is a SessionLostError."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import psutil

from ray_jobs.run_folder.identity import Identity
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_dir import WandbDir

DEFAULT_PROJECT = "quintet"
CONFIRM_S = 10.0
GRACE_S = 10.0
"""Seconds beyond W&B's own timeout after which W&B is given up."""


class SessionLostError(RuntimeError):
    """Failure of a W&B session; another session may succeed."""


class Session:
    """Session of a W&B run, the only caller of `wandb.init`, `log` and `finish`; lives in a process of its own.

    `say` logs a warning.
    """

    def __init__(self, tracking: Tracking, identity: Identity, place: WandbDir, say: Callable[[str], None]):
        self._tracking, self._identity, self._place, self._say = tracking, identity, place, say
        self._axes: set[str] = set()
        self._refused: set[str] = set()

    def open(self, mode: str, config: Mapping[str, Any], stop: Callable[[], None]) -> None:
        """Begin or resume the W&B run. Raises SessionLostError with a message for people.

        Args:
            mode: `online` or `offline`.
            config: The run's config in W&B.
            stop: Called when a user presses W&B's Stop button.
        """
        os.environ.update({name: value for name, value in self._place.environment().items() if name not in os.environ})
        import wandb

        identity, tracking = self._identity, self._tracking
        team, _, project = (tracking.project or "").rpartition("/")
        settings = wandb.Settings(
            console="off",
            silent=True,
            x_disable_stats=True,  # it would measure this process's machine, not the workers'
            x_disable_meta=True,  # it would describe this process
            x_disable_machine_info=True,
            x_save_requirements=False,
            disable_git=True,
            disable_code=True,
            disable_job_creation=True,
            init_timeout=tracking.init_timeout_s,
            finish_timeout=tracking.finish_timeout_s,
            finish_timeout_raises=True,
            x_transaction_log_flush_interval=1.0,  # 15 s by default, lost with a killed process
            x_file_stream_transmit_interval=2.0,
            stop_on_fatal_error=False,
            stop_fn=stop,
        )
        with self._with_deadline(tracking.init_timeout_s + GRACE_S, "start"):
            self.run: Any = wandb.init(
                project=project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
                entity=tracking.entity or team or None,
                id=identity.wandb_id,
                name=identity.name,
                group=tracking.group or identity.group,
                job_type=identity.job_type,
                tags=[*tracking.tags, *identity.tags],
                notes=tracking.notes,
                config=dict(config),
                dir=str(self._place.root),
                mode=mode,  # pyright: ignore
                resume="allow",
                settings=settings,
                allow_val_change=True,
            )
        self._cores = psutil.Process().children(recursive=True)
        self.last_step = int(self.run.starting_step) - 1
        """Online: the last step whose row the server had; `run.step` is 0 after a resume."""
        self.logged_step = self.last_step
        """The last step that was logged."""

    def with_containment(self, what: str) -> AbstractContextManager:
        """Return a context that turns failures and delays of W&B into SessionLostError; `what` names the call."""
        return self._with_deadline(self._tracking.finish_timeout_s + GRACE_S, what)

    @contextmanager
    def _with_deadline(self, seconds: float, what: str) -> Iterator[None]:
        """Turn every error inside the block, and taking longer than `seconds`, into SessionLostError."""

        def give_up(*_: Any) -> None:
            raise TimeoutError(f"no answer in {seconds:.0f} s")

        signal.signal(signal.SIGALRM, give_up)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        except Exception as error:  # containment: whatever W&B does, the training continues
            words = " ".join(str(error).split())[:200]
            raise SessionLostError(f"{what}: {type(error).__name__}: {words}") from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def refuse_dead(self) -> None:
        """Raise SessionLostError when W&B's background process is gone; its pipe may accept rows for a while yet."""
        if not all(core.is_running() and core.status() != psutil.STATUS_ZOMBIE for core in self._cores):
            raise SessionLostError("its background process ended")

    def log(self, values: Mapping[str, Any], axes: Mapping[str, str], *, step: int, at: float) -> None:
        """Log one row at its own step. A value that W&B refuses is left out and reported once.

        Args:
            values: The row.
            axes: The x-axis of each metric.
            step: The row's step.
            at: The row's time, in seconds since the epoch.

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
            self.run.finish(exit_code=exit_code)

    def confirm(self) -> int:
        """Return the last step that the server has, after `finish`.

        An upload that is refused in mid-run (401, 404) ends without an error, so the server is asked.
        """
        import wandb

        deadline = time.monotonic() + CONFIRM_S
        with self._with_deadline(CONFIRM_S + GRACE_S, "confirmation"):
            run = wandb.Api(timeout=int(CONFIRM_S)).run(self.run.path)
            while (step := int(run.lastHistoryStep)) < self.logged_step and time.monotonic() < deadline:
                time.sleep(0.5)
        return step
