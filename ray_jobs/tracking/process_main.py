"""The tracking process, child of the driver: `python -m ray_jobs.tracking.process_main MODE`; mirrors all its runs.

Nothing that W&B does can reach the training from here. The process takes its data from the records and not from the
driver: lines on standard input open, wake and close runs, and the input's end closes all, however the driver ended.
"""

import json
import os
import queue
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import LATER
from ray_jobs.tracking.mirror_files import load_mirror_config, make_wandb_dir
from ray_jobs.tracking.tracking_process import CORE_LOST, LEAVE_S, Mode
from ray_jobs.tracking.wandb_core import WandbCore
from ray_jobs.tracking.wandb_environment import clean_variables
from ray_jobs.tracking.wandb_mirror import Mirror
from ray_jobs.tracking.wandb_session import SessionLostError

WATCH_S = 0.25  # between two looks for calls that W&B does not answer


def main() -> int:
    """Mirror runs until standard input ends and all of them have ended; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the driver handles them, and its end closes standard input
    with suppress(OSError):
        os.nice(19)  # only the end of a run waits for this process
    output = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed
    with tempfile.TemporaryDirectory(prefix="quintet-wandb-", ignore_cleanup_errors=True) as scratch:
        core = WandbCore(Path(scratch))
        code = _serve(sys.argv[1], core, output)  # pyright: ignore[reportArgumentType]
        if code == 0:
            core.stop(within=LEAVE_S / 2)
    return code


def _serve(mode: Mode, core: WandbCore, output: int) -> int:
    """Do what the driver writes, and watch over the runs; returns the exit code."""
    runs: dict[int, MirrorThread] = {}

    def say(run: int, message: dict[str, Any]) -> None:
        with suppress(OSError):  # the driver is gone
            os.write(output, (json.dumps({"run": run, **message}) + "\n").encode())

    is_open = True
    for message in _read_messages():
        if message is None:
            is_open = False
            for run in runs.values():
                run.wakes.put(False)
        elif "open" in message:
            runs[message["run"]] = MirrorThread(message["open"], mode, core, partial(say, message["run"]))
            runs[message["run"]].start()
        elif message:
            runs[message["run"]].wakes.put("wake" in message)
        going = [run for run in runs.values() if not run.has_ended]
        for run in going:
            run.give_up_if_late()
        if going and core.is_gone():
            return CORE_LOST
        if not (going or is_open):
            break
    return 0


def _read_messages() -> Iterator[dict[str, Any] | None]:
    """Yield what the driver writes, an empty message now and then, and None at its end."""
    begun, is_open, pause = b"", True, WATCH_S
    while True:
        yield {}
        if select.select([0] if is_open else [], [], [], pause)[0]:
            content = os.read(0, 65536)
            if not content:
                is_open, pause = False, WATCH_S / 10
                yield None
            *lines, begun = (begun + content).split(b"\n")
            yield from map(json.loads, lines)


class _RefusedError(Exception):
    """Reason, in words for people, for which a run is not mirrored."""


class MirrorThread(threading.Thread):
    """Thread that mirrors one run, in which W&B may hang while the other runs go on.

    Its last message holds `ended`, an exit code, or `lost`, the error by which W&B did not take the run online. The
    driver's request has `folder`, `is_sync`, and `lost`, the error of the run's session before; `mode` is `online` or
    `offline`, and `core` is W&B in this process.
    """

    def __init__(self, request: dict[str, Any], mode: Mode, core: WandbCore, say: Callable[[dict[str, Any]], None]):
        super().__init__(daemon=True)
        self._folder, self._is_sync, self._lost = Folder(request["folder"]), request["is_sync"], request["lost"]
        self._mode: Mode = mode
        self._core, self._send = core, say
        self.wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """True when the record has grown, False when the run has ended."""
        self._mirror: Mirror | None = None
        self._held = ExitStack()
        self._speaks = threading.Lock()
        self.has_ended = False

    def run(self) -> None:
        """Mirror the run until it has ended."""
        try:
            with self._held:
                self._mirror_run()
            self._say("ended", 0)
        except SessionLostError as error:
            self._lose(str(error))
        except _RefusedError as error:
            self._say("warning", str(error), ended=1)
        except Exception as error:  # containment: logged once, with the trace in the run's own log
            self._say("warning", f"W&B is off ({type(error).__name__}: {error}); {LATER}", ended=1)

    def give_up_if_late(self) -> None:
        """Take over from the thread when W&B does not answer it; for another thread."""
        if self._mirror is not None and (late := self._mirror.session.find_delay()):
            self._mirror.session.is_abandoned = True
            self._held.close()
            self._lose(late)

    def _mirror_run(self) -> None:
        config = load_mirror_config(self._folder)
        if self._is_sync:
            config = config.model_copy(update={"tracking": config.tracking.for_sync()})
        variable = self._core.given.get("WANDB_DIR", "")
        try:
            place = make_wandb_dir(self._folder, config, variable, partial(self._say, "warning"))
        except OSError as error:
            raise _RefusedError(f"W&B is off: {error}; {LATER}") from error
        try:
            self._held.enter_context(place.locked(waits=not self._is_sync))
        except BlockingIOError as error:
            words = f"{self._folder} is being mirrored to W&B by another process; wait for its end"
            raise _RefusedError(words) from error
        except OSError as error:
            words = f"its folder {place.files} takes no locks ({error}); give tracking.folder one on a local disk"
            raise _RefusedError(f"W&B is off: {words}; {LATER}") from error
        try:
            self._core.start()
            lines = [*clean_variables(dict(self._core.given), config.tracking), *self._core.faults]
            for line in [] if self._lost else lines:
                self._say("warning", line)
            self._mirror = Mirror(config, self._folder, place, self._mode, self._core, self._say, lost=self._lost)
            self._mirror.run(() if self._is_sync else self._take_wakes())
        except Exception:
            with suppress(OSError), (place.files / "mirror.log").open("a") as log:  # a full disk takes no trace either
                traceback.print_exc(file=log)
            raise

    def _take_wakes(self) -> Iterator[None]:
        """Yield once for all wakes that have come since the last time, until the run has ended."""
        while True:
            goes_on = self.wakes.get()
            while goes_on and not self.wakes.empty():
                goes_on = self.wakes.get()
            if not goes_on:
                return
            yield

    def _say(self, kind: str, content: Any, **last: int) -> None:
        """Send a message, unless another thread has sent the last one."""
        with self._speaks:
            if not self.has_ended:
                self.has_ended = kind in ("lost", "ended") or bool(last)
                self._send({kind: content, **last})

    def _lose(self, why: str) -> None:
        """Report the loss of the session, unless all runs are lost with W&B's service, which `_serve` sees."""
        if self._core.is_gone(within=0.5):
            return
        is_ending = self._mirror is not None and self._mirror.is_ending
        if self._mode == "online" and not self._is_sync and not is_ending:
            self._say("lost", why)
        else:
            advice = "" if self._is_sync else f"; {LATER}"
            self._say("warning", f"W&B did not take all of the run ({why}){advice}", ended=1)


if __name__ == "__main__":
    os._exit(main())  # without exit hooks, in which W&B may hang
