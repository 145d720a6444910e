"""The mirror: makes a W&B run equal to a run's record on disk, row by row, from the last step that W&B has."""

import shutil
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import LATER, artifact_name, load_identity
from ray_jobs.run_folder.inputs import INPUTS
from ray_jobs.run_folder.run_recorder import FINAL
from ray_jobs.tracking.mirror_config import MirrorConfig
from ray_jobs.tracking.record_reader import RecordTailer, Update
from ray_jobs.tracking.wandb_artifacts import keep_files, log_model, named_models, use_input
from ray_jobs.tracking.wandb_dir import WandbDir
from ray_jobs.tracking.wandb_media import read_media
from ray_jobs.tracking.wandb_session import CONFIRM_S, Session, SessionLostError
from trainables.contract.training_config import Cadence
from trainables.engine.process.stop_request import request_stop
from trainables.run_paths import PICTURES

Mode = Literal["online", "offline"]
Say = Callable[[str, Any], None]
"""Sends the driver a message, its kind and its content: `info`, `warning`, or `sent` with counts."""
STAGING = "models"
WATCHED = f"{PICTURES}/watch/"
"""Folder of the histograms that `tracking.watch` asks for."""


class Mirror:
    """Mirroring of a run in one session of W&B; `has_begun` and `has_ended` show how far a session that breaks came.

    Args:
        mirror_config: What the mirror needs besides the record.
        folder: The run's folder.
        place: The folder of W&B's files.
        mode: `online` or `offline`.
        say: Sends a message to the driver.
        lost: Error of the previous session, logged after this one has begun.
    """

    def __init__(
        self, mirror_config: MirrorConfig, folder: Folder, place: WandbDir, mode: Mode, say: Say, *, lost: str = ""
    ):
        self.mirror_config, self.folder, self.place, self.mode, self.say = mirror_config, folder, place, mode, say
        self._lost = lost
        self.has_begun = self.has_ended = False
        self._identity = load_identity(folder)
        self._artifact = artifact_name(self._identity.name, self._identity.wandb_id)
        self._sync_state = place.load_sync_state()
        self._known = self._sync_state.models if mode == "online" else self._sync_state.staged_models
        self._sent_models: dict[str, list[str]] = {}
        self._counts = {"rows": 0, "panels": 0, "models": 0}
        self._axes: dict[str, str | None] = {}

    def run(self, wakes: Iterable[Any]) -> None:
        """Mirror what is there, then what is new at every wake, then finish. Raises SessionLostError."""
        self._open()
        self.advance()
        for _ in wakes:
            self.advance()
        self.advance(is_last=True)
        self._finish()

    # ---- the session

    def _open(self) -> None:
        def stop() -> None:
            request_stop(self.folder, "W&B's Stop button")

        tracking, say = self.mirror_config.tracking, self.say
        self._session = Session(tracking, self._identity, self.place, lambda text: say("warning", text))
        self._session.open(self.mode, self.mirror_config.config, stop)
        self.has_begun = True
        if self._lost:
            later = f"; {LATER}" if self.mode == "offline" else ""
            self.say("warning", f"W&B was lost ({self._lost}); the run goes on {self.mode} there{later}")
        if self.mode == "online":
            self._sync_state.step = max(self._session.last_step, 0)
            self.say("info", f"W&B: {self._session.run.url}")
        else:
            self.say("info", f"W&B: offline in {self.place.files}")
        sent = self._sync_state.step
        if self.mode != "online":
            sent = max(self.place.last_offline_step(), sent)
        self._sync_state.is_complete = False
        self.place.save_sync_state(self._sync_state)
        self._tailer = RecordTailer(self.folder, sent=sent)
        self._use_inputs()

    def _use_inputs(self) -> None:
        if self.mode == "offline" or self._sync_state.has_inputs or not self.folder.exists(INPUTS):
            return  # W&B takes inputs only online, so `sync` sends them
        for item in self.folder.read_json(INPUTS):
            if "://" not in item["path"] and not Path(item["path"]).exists():
                self.say("warning", f"{item['path']} is gone, so W&B is not told that the run was made from it")
                continue
            with self._session.with_containment("input"):
                use_input(self._session.run, item)

    def _finish(self) -> None:
        is_finished = self.folder.exists(FINAL)
        if is_finished:
            goal = self.mirror_config.goal
            best = self.folder.read_json(FINAL)["best_metrics"].get(goal)
            self._session.summarise({} if best is None else {f"best/{goal}": best})
        self.has_ended = True
        self._session.finish(exit_code=0 if is_finished else 1)
        if self.mode == "online":
            self._close_sync_state(is_finished)
        else:
            self._refuse_loss(self._written_step())
        self.say("sent", self._counts)

    def _written_step(self) -> int:
        """Return the last step in the offline files. wandb reports no full disk, and still writes after `finish`."""
        deadline, pause = time.monotonic() + CONFIRM_S, 0.02
        while (step := self.place.last_offline_step()) < self._session.logged_step and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, 0.5)
        return step

    def _refuse_loss(self, last_step: int) -> None:
        if last_step < self._session.logged_step:
            raise SessionLostError(f"it holds the rows up to step {last_step} of {self._session.logged_step}")

    def _close_sync_state(self, is_finished: bool) -> None:
        self._sync_state.step = self._session.confirm()
        self.place.save_sync_state(self._sync_state)
        self._refuse_loss(self._sync_state.step)
        self._sync_state.models |= self._sent_models
        self._sync_state.has_inputs = True
        self._sync_state.is_complete = is_finished
        self.place.save_sync_state(self._sync_state)
        self.place.forget_sent()
        shutil.rmtree(self.place.files / STAGING, ignore_errors=True)

    # ---- what is sent

    def advance(self, *, is_last: bool = False) -> None:
        """Send W&B what is new in the record since the last call."""
        is_due = is_last
        self._session.refuse_dead()
        for update in self._tailer.updates():
            self._tell(update)
            is_due |= _is_due(self.mirror_config.tracking.log_model, update)
        if is_due and self.mirror_config.tracking.log_model is not False:
            self._send_models()

    def _tell(self, update: Update) -> None:
        self._axes |= {name: self._axis(name) for name in update.values.keys() - self._axes.keys()}
        axes = {name: axis for name in update.values if (axis := self._axes[name]) is not None}
        values = {name: update.values[name] for name in axes}
        takes_all = _is_due(self.mirror_config.tracking.log_images, update)
        for description in update.panels:
            if takes_all or description.startswith(WATCHED):
                self._add_panel(description, values, axes)
        if not values:
            return
        position = {"step": update.step, "epoch": update.epoch}
        self._session.log({**position, **values}, axes, step=update.step, at=update.time)
        self._counts["rows"] += 1

    def _axis(self, name: str) -> str | None:
        if name in ("step", "epoch"):
            return None
        patterns = {"system/*": "step", "watch/*": "step", **self.mirror_config.metric_axes}
        fitting = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
        return patterns[max(fitting, key=len)] if fitting else "epoch"

    def _add_panel(self, description: str, values: dict[str, Any], axes: dict[str, str]) -> None:
        try:
            media = read_media(self.folder, description)
        except (OSError, ValueError, KeyError) as error:
            self.say("warning", f"{description} cannot be sent to W&B ({type(error).__name__}: {error})")
            return
        values |= media
        axes |= {key: self._axis(key) or "epoch" for key in media}
        self._counts["panels"] += 1

    def _send_models(self) -> None:
        for version, aliases in named_models(self.folder).items():
            known = {**self._known, **self._sent_models}.get(version)
            if known is not None and set(aliases) <= set(known):
                continue
            try:
                files = keep_files(self.folder, version, self.place.files / STAGING)
            except FileNotFoundError:
                continue  # the run has dropped this version just now; a newer one is named
            with self._session.with_containment("artifact"):
                log_model(self._session.run, self._artifact, files, aliases)
            self._sent_models[version] = aliases
            self._counts["models"] += 1
        if self.mode == "offline":
            self._sync_state.staged_models |= self._sent_models
            self.place.save_sync_state(self._sync_state)


def _is_due(setting: bool | Cadence, update: Update) -> bool:
    if isinstance(setting, bool):
        return setting
    return setting.is_due(step=update.step, epoch=update.epoch, ends_epoch=update.ends_epoch)
