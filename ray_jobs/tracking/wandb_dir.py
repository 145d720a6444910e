"""Where W&B's files of a run lie, and the sync_state of what has arrived; knows no wandb."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from data_pipelines.storage.folder import Folder
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_file import last_step

WANDB = "wandb"
"""W&B names its folder so, wherever it is told to work."""


@dataclass
class SyncState:
    """What is known to have arrived at the server. Losing it costs time alone: the server is asked again."""

    step: int = 0
    """Every row up to this step has arrived."""
    models: dict[str, list[str]] = field(default_factory=dict)
    """Model versions that have arrived, each with its aliases."""
    staged_models: dict[str, list[str]] = field(default_factory=dict)
    """Model versions that an offline segment holds."""
    has_inputs: bool = False
    is_complete: bool = False
    """The last session ended well, with all that the record held."""


class WandbDir:
    """W&B's files of one run. They lie on a local disk, also when the run does not."""

    def __init__(self, run: Folder, run_id: str, tracking: Tracking):
        if tracking.folder is not None:
            self.root = tracking.folder / run_id
        else:
            self.root = Path(run.path) if run.is_local else Path(f"~/quintet/wandb/{run_id}").expanduser()
        self.files = self.root / WANDB

    def make(self) -> None:
        """Raise OSError when nothing can be written there; W&B itself would quietly go elsewhere."""
        self.files.mkdir(parents=True, exist_ok=True)
        probe = self.files / f".probe-{os.getpid()}"
        probe.write_bytes(b"0" * 4096)
        probe.unlink()

    def environment(self) -> dict[str, str]:
        """Variables that keep W&B's staging and caches out of the home folder."""
        return {f"WANDB_{kind.upper()}_DIR": str(self.files / kind) for kind in ("cache", "data", "artifact")}

    def load_ledger(self) -> SyncState:
        """What has arrived; empty when nothing has, or when the file is damaged."""
        try:
            return SyncState(**json.loads((self.files / "ledger.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return SyncState()

    def save_ledger(self, sync_state: SyncState) -> None:
        """Replace the sync_state as a whole."""
        Folder(str(self.files)).write_json("ledger.json", asdict(sync_state))

    def segments(self, *, offline: bool) -> list[Path]:
        """The transaction logs of the run's sessions, oldest first."""
        prefix = "offline-run-" if offline else "run-"
        return sorted(self.files.glob(f"{prefix}*/run-*.wandb"), key=lambda file: file.parent.name)

    def last_offline_step(self) -> int:
        """The last step that an offline segment holds."""
        steps = [last_step(file) for file in self.segments(offline=True) if file.stat().st_size]
        return max((step for step in steps if step is not None), default=0)

    def forget_sent(self) -> None:
        """All has arrived: mark the segments as W&B's own tool does, and drop what was staged."""
        for file in self.segments(offline=True):
            file.with_name(f"{file.name}.synced").touch()
        for kind in ("cache", "data", "artifact"):
            shutil.rmtree(self.files / kind, ignore_errors=True)

    @contextmanager
    def locked(self, *, waits: bool = True) -> Iterator[None]:
        """One session at a time; the lock ends with the process that holds it.

        Waits for an earlier session's end, or raises BlockingIOError.
        """
        with (self.files / ".session").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            yield
