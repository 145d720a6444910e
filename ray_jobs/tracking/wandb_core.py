"""W&B in this process: its package, imported once, and its background process, which holds the runs of all threads."""

import os
import threading
from pathlib import Path
from typing import Any

import psutil

from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_environment import clean_variables, drop_malformed

SCRATCH = ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")


class WandbCore:
    """Package and background process of W&B.

    `start` is called by the threads of runs, as an import may hang too. `scratch` is a folder for caches and staging
    that W&B would have in the home folder, and for a home folder if there is none.
    """

    def __init__(self, scratch: Path):
        self.given = dict(os.environ)
        """The environment as it was given."""
        clean_variables(os.environ, Tracking())
        for name in SCRATCH:
            os.environ.setdefault(name, str(scratch))
        try:
            Path.home()
        except RuntimeError:  # W&B looks there for its settings
            os.environ["HOME"] = str(scratch)
        self.faults: list[str] = []
        """Lines on variables that W&B does not take, once it has been started."""
        self._lock = threading.Lock()
        self._processes: list[psutil.Process] = []
        self._wandb: Any = None

    def start(self) -> Any:
        """Return the package, after the first call has imported it and started its background process."""
        with self._lock:
            if self._wandb is None:
                before = psutil.Process().children()
                import wandb

                self.faults = drop_malformed(os.environ, wandb.setup)
                self._processes = [process for process in psutil.Process().children() if process not in before]
                self._wandb = wandb
            return self._wandb

    def is_gone(self, *, within: float = 0.0) -> bool:
        """Return whether the background process ends within some seconds; its pipe may accept rows for a while yet."""
        gone, _ = psutil.wait_procs(self._processes, timeout=within)
        return bool(gone)

    def has_open(self, folder: Path) -> bool:
        """Return whether the background process still writes a session's file in the folder."""
        try:
            opened = {file.path for process in self._processes for file in process.open_files()}
        except psutil.NoSuchProcess:
            return False
        return any(str(file.resolve()) in opened for file in folder.glob("*.wandb"))

    def stop(self, *, within: float = 10.0) -> None:
        """End the background process, which loses nothing of a run that has ended, within some seconds."""
        if self._wandb is not None:
            leaving = threading.Thread(target=self._wandb.teardown, daemon=True)
            leaving.start()
            leaving.join(within)
