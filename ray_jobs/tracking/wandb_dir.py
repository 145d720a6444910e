"""Folder of W&B's files of a run, and the record of what has arrived at the server; imports no wandb."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_pipelines.contract.config import expand_home
from data_pipelines.storage.folder import Folder
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_file import last_step

WANDB = "wandb"
"""Name that W&B gives its folder inside any working folder."""


@dataclass
class SyncState:
    """State of the upload: what has arrived at the server. Its loss costs only time: the server is asked again."""

    step: int = 0
    """Every row up to this step has arrived."""
    models: dict[str, list[str]] = field(default_factory=dict)
    """Model versions that have arrived, each with its aliases."""
    staged_models: dict[str, list[str]] = field(default_factory=dict)
    """Model versions that an offline segment holds."""
    has_inputs: bool = False
    is_complete: bool = False
    """Whether the last session ended well and sent all of a finished run."""


class WandbDir:
    """Folder of W&B's files of one run, on a local disk also when the run is not."""

    def __init__(self, run: Folder, run_id: str, tracking: Tracking):
        if tracking.folder is not None:
            self.root = tracking.folder / run_id
        elif run.is_local:
            self.root = Path(run.path)
        else:
            self.root = expand_home(f"~/quintet/wandb/{run_id}", "give tracking.folder")
        self.files = self.root / WANDB

    def make(self) -> None:
        """Create the folder. Raises OSError when it cannot be written to; W&B itself would silently use another one."""
        self.files.mkdir(parents=True, exist_ok=True)
        probe = self.files / f".probe-{os.getpid()}"
        probe.write_bytes(b"0" * 4096)
        probe.unlink()

    def environment(self) -> dict[str, str]:
        """Return the variables that keep W&B's staging and caches out of the home folder; a HOME if there is none."""
        variables = {f"WANDB_{kind.upper()}_DIR": str(self.files / kind) for kind in ("cache", "data", "artifact")}
        try:
            Path.home()
        except RuntimeError:  # W&B looks there for its settings
            variables["HOME"] = str(self.files)
        return variables

    def load_sync_state(self) -> SyncState:
        """Read the sync state; it is empty when nothing has arrived, or when the file is damaged."""
        try:
            return SyncState(**json.loads((self.files / "ledger.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return SyncState()

    def save_sync_state(self, sync_state: SyncState) -> None:
        """Replace the sync state on disk."""
        Folder(str(self.files)).write_json("ledger.json", asdict(sync_state))

    def segments(self, *, offline: bool) -> list[Path]:
        """Return the transaction logs of the run's sessions, oldest first."""
        prefix = "offline-run-" if offline else "run-"
        return sorted(self.files.glob(f"{prefix}*/run-*.wandb"), key=lambda file: file.parent.name)

    def last_offline_step(self) -> int:
        """Return the last step that an offline segment holds, 0 without one."""
        steps = [last_step(file) for file in self.segments(offline=True) if file.stat().st_size]
        return max((step for step in steps if step is not None), default=0)

    def forget_sent(self) -> None:
        """Mark the offline segments as synced, as W&B's own tool does, and delete what was staged; all has arrived."""
        for file in self.segments(offline=True):
            file.with_name(f"{file.name}.synced").touch()
        for kind in ("cache", "data", "artifact"):
            shutil.rmtree(self.files / kind, ignore_errors=True)

    @contextmanager
    def locked(self, *, waits: bool = True) -> Iterator[None]:
        """Hold the session lock inside the block: one session at a time. The lock ends with the process that holds it.

        Waits for an earlier session's end, or raises BlockingIOError when `waits` is false.
        """
        with (self.files / ".session").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            yield
