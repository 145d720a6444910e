"""The mirror: makes a W&B run equal to a run's record on disk, row by row, from the last step that W&B has."""

import shutil
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import LATER, artifact_name, load_identity
from ray_jobs.run_folder.inputs import INPUTS
from ray_jobs.run_folder.record_reader import RecordTailer, Update
from ray_jobs.run_folder.run_recorder import FINAL
from ray_jobs.tracking.mirror_files import MirrorConfig, WandbDir
from ray_jobs.tracking.tracking_process import Mode
from ray_jobs.tracking.wandb_core import WandbCore
from ray_jobs.tracking.wandb_objects import keep_files, log_model, named_models, read_media, use_input
from ray_jobs.tracking.wandb_session import Session, SessionLostError
from trainables.contract.training_config import Cadence
from trainables.engine.process.stop_request import request_stop
from trainables.run_paths import PICTURES

Say = Callable[[str, Any], None]
"""Sends the driver a message, its kind and its content: `info`, `warning`, or `sent` with counts."""
STAGING = "models"
WATCHED = f"{PICTURES}/watch/"
"""Folder of the histograms that `tracking.watch` asks for."""


class Mirror:
    """Mirroring of a run in one session of W&B; `is_ending` once all of it has been logged.

    Online the server says how far it is. Offline W&B writes at a pace of its own, and nobody can say what a session
    holds that did not end; so such a session is removed, and its rows are written anew from the record. `place` is the
    folder of W&B's files, `mode` is `online` or `offline`, and `core` is W&B in this process. `lost`, the error of the
    previous session, is logged after this one has begun.
    """

    def __init__(
        self,
        mirror_config: MirrorConfig,
        folder: Folder,
        place: WandbDir,
        mode: Mode,
        core: WandbCore,
        say: Say,
        *,
        lost: str = "",
    ):
        self.mirror_config, self.folder, self.place, self.mode, self.say = mirror_config, folder, place, mode, say
        self._lost = lost
        self.is_ending = False
        self._identity = load_identity(folder)
        self._artifact = artifact_name(self._identity.name, self._identity.wandb_id)
        self._ledger = place.load_ledger()
        self._known = self._ledger.models if mode == "online" else self._ledger.staged_models
        self._sent_models: dict[str, list[str]] = {}
        self._counts = {"rows": 0, "panels": 0, "models": 0}
        self._axes: dict[str, str | None] = {}
        self.session = Session(core, mirror_config.tracking, self._identity, place, partial(say, "warning"))

    def run(self, wakes: Iterable[Any]) -> None:
        """Mirror what is there, then what is new at every wake, then finish. Raises SessionLostError."""
        self._open()
        self.advance()
        for _ in wakes:
            self.advance()
        self.advance(is_last=True)
        self._finish()

    def _open(self) -> None:
        if self.mode == "offline":
            self.place.remove_torn(self._ledger)
        stop = partial(request_stop, self.folder, "W&B's Stop button")
        self.session.open(self.mode, self.mirror_config.config, stop)
        if self._lost:
            later = f"; {LATER}" if self.mode == "offline" else ""
            self.say("warning", f"W&B was lost ({self._lost}); the run goes on {self.mode} there{later}")
        if self.mode == "online":
            self._ledger.step = sent = max(self.session.last_step, 0)
            self.say("info", f"W&B: {self.session.run.url}")
        else:
            sent = max(self._ledger.step, *self._ledger.segments.values(), 0)
            self.say("info", f"W&B: offline in {self.place.files}")
        self._ledger.is_complete = False
        self.place.save_ledger(self._ledger)
        self._tailer = RecordTailer(self.folder, sent=sent)
        self._use_inputs()

    def _use_inputs(self) -> None:
        if self.mode == "offline" or self._ledger.has_inputs or not self.folder.exists(INPUTS):
            return  # W&B takes inputs only online, so `sync` sends them
        for item in self.folder.read_json(INPUTS):
            if "://" not in item["path"] and not Path(item["path"]).exists():
                self.say("warning", f"{item['path']} is gone, so W&B is not told that the run was made from it")
                continue
            with self.session.with_containment("input"):
                use_input(self.session.run, item)

    def _finish(self) -> None:
        is_finished = self.folder.exists(FINAL)
        if is_finished:
            goal = self.mirror_config.goal
            best = self.folder.read_json(FINAL)["best_metrics"].get(goal)
            self.session.summarise({} if best is None else {f"best/{goal}": best})
        self.is_ending = True
        self.session.finish(exit_code=0 if is_finished else 1)
        if self.mode == "online":
            self._close_online(is_finished)
        else:
            self._close_offline()
        self.say("sent", self._counts)

    def _close_offline(self) -> None:
        self.session.wait_until_written()
        self._ledger.segments[self.session.folder.name] = max(self._tailer.sent, 0)
        self._ledger.staged_models |= self._sent_models
        self.place.save_ledger(self._ledger)

    def _close_online(self, is_finished: bool) -> None:
        self._ledger.step = self.session.confirm()
        self.place.save_ledger(self._ledger)
        if self._ledger.step < self.session.logged_step:
            raise SessionLostError(f"it holds the rows up to step {self._ledger.step} of {self.session.logged_step}")
        self._ledger.models |= self._sent_models
        self._ledger.has_inputs = True
        self._ledger.is_complete = is_finished
        self.place.save_ledger(self._ledger)
        self.place.forget_sent()
        shutil.rmtree(self.place.files / STAGING, ignore_errors=True)

    def advance(self, *, is_last: bool = False) -> None:
        """Send W&B what is new in the record since the last call."""
        self.place.refuse_full_disk()
        is_due = is_last
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
        self.session.log({**position, **values}, axes, step=update.step, at=update.time)
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
            with self.session.with_containment("artifact"):
                log_model(self.session.run, self._artifact, files, aliases)
            self._sent_models[version] = aliases
            self._counts["models"] += 1


def _is_due(setting: bool | Cadence, update: Update) -> bool:
    if isinstance(setting, bool):
        return setting
    return setting.is_due(step=update.step, epoch=update.epoch, ends_epoch=update.ends_epoch)
