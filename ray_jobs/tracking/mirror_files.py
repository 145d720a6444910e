"""Files of a run's mirror: its config in the run's folder, W&B's own folder, and the ledger of what W&B has.

Any later version can send the run with them, also without knowing the workload. Imports no wandb.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from data_pipelines.contract.config import Config, expand_home
from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.environment import describe_software
from ray_jobs.settings.tracking import Tracking
from trainables.run import validate_strictly

if TYPE_CHECKING:
    from ray_jobs.settings.experiment import Experiment

MIRROR_CONFIG = "tracking.json"
WANDB = "wandb"
"""Name that W&B gives its folder inside any working folder."""
LEDGER = "ledger.json"
SEGMENTS = "offline-run-*"
"""Folders of W&B's offline sessions, inside its folder."""
ROOM_BYTES = 65536


class MirrorConfig(Config):
    """Config of a run's mirror, rewritten at every start of the run, whether W&B is on or off."""

    run_id: str
    tracking: Tracking
    goal: str
    """The metric that decides which model is best."""
    metric_axes: dict[str, str | None]
    """The workload's x-axis of each metric, by pattern; None for metrics that are not sent."""
    config: dict[str, Any]
    """The run's config in W&B: all settings but `tracking`, the run's id and folder, commit and versions."""


def write_mirror_config(experiment: "Experiment") -> None:
    """Write the mirror config into the run's folder."""
    settings = experiment.model_dump(mode="json", exclude={"tracking"})
    mirror_config = MirrorConfig(
        run_id=experiment.run_id,
        tracking=experiment.tracking,
        goal=experiment.workload.selection_metric.metric,
        metric_axes=experiment.workload.metric_x_axes,
        config={
            **settings,
            "run_id": experiment.run_id,
            "folder": str(experiment.folder),
            "software": describe_software(),
        },
    )
    experiment.folder.write_json(MIRROR_CONFIG, mirror_config.model_dump(mode="json"))


def load_mirror_config(folder: Folder) -> MirrorConfig:
    """Read the mirror config of a run. Raises ValueError when the folder has none."""
    if not folder.exists(MIRROR_CONFIG):
        raise ValueError(f"{folder} is no run: it has no {MIRROR_CONFIG}")
    return validate_strictly(MirrorConfig, folder.read_json(MIRROR_CONFIG))


@dataclass
class Ledger:
    """What W&B has of a run. Its loss costs only time: the server is asked, and offline files are written anew."""

    step: int = 0
    """Every row up to this step has arrived at the server."""
    segments: dict[str, int] = field(default_factory=dict)
    """Offline sessions that W&B has written completely, each with its last step."""
    models: dict[str, list[str]] = field(default_factory=dict)
    """Model versions that have arrived, each with its aliases."""
    staged_models: dict[str, list[str]] = field(default_factory=dict)
    """Model versions that an offline session holds."""
    has_inputs: bool = False
    is_complete: bool = False
    """Whether the last session ended well and sent all of a finished run."""


def make_wandb_dir(run: Folder, config: MirrorConfig, variable: str, warn: Callable[[str], None]) -> "WandbDir":
    """Create the folder of W&B's files; where that of WANDB_DIR cannot be written the default one, with a warning.

    Raises OSError, with words for people, when none can be written to; W&B itself would silently use another one.
    """
    place, default = (WandbDir(run, config.run_id, config.tracking, text) for text in (variable, ""))
    try:
        place.make()
    except OSError as error:
        words = f"its folder {place.files} cannot be written ({error})"
        if place.files == default.files:
            raise OSError(words) from error
        warn(f"WANDB_DIR in the environment is left out: {words}")
        return make_wandb_dir(run, config, "", warn)
    return place


class WandbDir:
    """Folder of W&B's files of one run, on a local disk also when the run is not.

    It is the settings' one, or else that of `variable`, the value of WANDB_DIR, or else in the run's own.
    """

    def __init__(self, run: Folder, run_id: str, tracking: Tracking, variable: str = ""):
        if tracking.folder is not None:
            self.root = tracking.folder / run_id
        elif variable.strip():
            self.root = Path(variable).expanduser().absolute() / run_id
        elif run.is_local:
            self.root = Path(run.path)
        else:
            self.root = expand_home(f"~/quintet/wandb/{run_id}", "give tracking.folder")
        self.files = self.root / WANDB

    def make(self) -> None:
        """Create the folder. Raises OSError when it cannot be written to."""
        self.files.mkdir(parents=True, exist_ok=True)
        self._write_probe(4096)

    def refuse_full_disk(self, *, writes: bool = False) -> None:
        """Raise OSError when the disk has no room, of which W&B says nothing; `writes` also meets a quota."""
        free = shutil.disk_usage(self.files).free
        if free < ROOM_BYTES:
            raise OSError(f"{free} bytes are left on the disk of {self.files}")
        if writes:
            self._write_probe(ROOM_BYTES)

    def _write_probe(self, size: int) -> None:
        probe = self.files / f".probe-{os.getpid()}"
        try:
            probe.write_bytes(b"0" * size)
        finally:
            probe.unlink(missing_ok=True)

    def load_ledger(self) -> Ledger:
        """Read the ledger; it is empty when nothing has arrived, or when the file is damaged."""
        try:
            return Ledger(**json.loads((self.files / LEDGER).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return Ledger()

    def save_ledger(self, ledger: Ledger) -> None:
        """Replace the ledger on disk."""
        Folder(str(self.files)).write_json(LEDGER, asdict(ledger))

    def remove_torn(self, ledger: Ledger) -> None:
        """Remove offline sessions that did not end, as nobody can say what they hold; sent ones stay."""
        for folder in self.files.glob(SEGMENTS):
            if folder.name not in ledger.segments and not list(folder.glob("*.synced")):
                shutil.rmtree(folder)
        if not ledger.segments:  # of a version that did not name them
            ledger.staged_models = {}

    def forget_sent(self) -> None:
        """Mark the offline sessions as synced, as W&B's own tool does; all of them has arrived."""
        for file in self.files.glob(f"{SEGMENTS}/run-*.wandb"):
            file.with_name(f"{file.name}.synced").touch()

    @contextmanager
    def locked(self, *, waits: bool = True) -> Iterator[IO[str]]:
        """Hold the session lock inside the block: one session at a time. It ends when the file that is yielded closes.

        Waits for an earlier session's end, or raises BlockingIOError when `waits` is false.
        """
        with (self.files / ".session").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            yield stream
