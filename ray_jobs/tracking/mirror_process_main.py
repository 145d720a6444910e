"""The mirror process, child of the driver or fork server: `python -m ray_jobs.tracking.mirror_process_main RUN_FOLDER`.

Nothing that W&B does can reach the training from here. The process takes its data from the record and not from the
driver: bytes on standard input only wake it, and the input's end is the end of the run, however the driver ended. When
W&B is lost, the process starts over from the record, by exec, so that nothing of the lost session is left.
"""

import argparse
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import LATER
from ray_jobs.tracking.mirror_config import load_mirror_config
from ray_jobs.tracking.wandb_dir import WandbDir
from ray_jobs.tracking.wandb_mirror import Mirror
from ray_jobs.tracking.wandb_session import SessionLostError
from ray_jobs.tracking.wandb_variables import OFF, clean_variables, mode_of

MAX_SESSIONS = 4
KILL_AFTER_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Mirror one run until standard input ends; returns 0 when W&B took all of the run."""
    options = _parse(arguments)
    channel = _Channel()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the driver handles them, and its end closes standard input
    with suppress(OSError):
        os.nice(19)  # only the end of the run waits for this process
    folder = Folder(options.run)
    mirror_config = load_mirror_config(folder)
    if options.sync:
        mirror_config = mirror_config.model_copy(update={"tracking": mirror_config.tracking.for_sync()})
    mode = "online" if options.sync else options.mode or mode_of(mirror_config.tracking)
    if mode == "disabled":
        channel.say("info", OFF)
        return 0
    for line in clean_variables(os.environ, mirror_config.tracking):
        channel.say("warning", line)
    place = WandbDir(folder, mirror_config.run_id, mirror_config.tracking)
    try:
        place.make()
    except OSError as error:
        channel.say("warning", f"W&B is off: its folder {place.files} cannot be written ({error}); {LATER}")
        return 1
    channel.send_prints_to(place.files / "mirror.log")
    with ExitStack() as held:
        try:
            held.enter_context(place.locked(waits=not options.sync))
        except BlockingIOError:
            channel.say("warning", f"{folder} is being mirrored to W&B by another process; wait for its end")
            return 1
        except OSError as error:
            advice = "give tracking.folder one on a local disk"
            channel.say("warning", f"W&B is off: its folder {place.files} takes no locks ({error}); {advice}; {LATER}")
            return 1
        mirror = Mirror(mirror_config, folder, place, mode, channel.say, lost=options.lost)
        return _mirror(mirror, options, channel)


def _mirror(mirror: Mirror, options: argparse.Namespace, channel: "_Channel") -> int:
    try:
        mirror.run(() if options.sync else _wakes())
    except SessionLostError as error:
        _begin_again(mirror, options, channel, str(error))
        return 1
    except Exception as error:  # containment: logged once, with the trace in mirror.log
        channel.say("warning", f"W&B is off ({type(error).__name__}: {error}); {LATER}")
        with suppress(OSError):  # a full disk takes no trace either
            traceback.print_exc()
            sys.stderr.flush()
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ray_jobs.tracking.mirror_process_main")
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("--mode", choices=("online", "offline"))
    parser.add_argument("--session", type=int, default=1)
    parser.add_argument("--lost", default="", help="why the session before this one ended")
    parser.add_argument("--sync", action="store_true", help="send what is there and end")
    return parser.parse_args(arguments)


def _wakes() -> Iterator[bytes]:
    """Yield once for all bytes that have come on standard input since the last time; ends when the input does."""
    while content := os.read(0, 65536):
        yield content


class _Channel:
    """Standard output as the driver reads it; all other prints go to a file."""

    def __init__(self) -> None:
        self._descriptor = os.dup(1)
        self.send_prints_to(Path(os.devnull))

    def say(self, kind: str, content: Any) -> None:
        """Write one JSON line to the driver."""
        with suppress(OSError):  # the driver is gone
            os.write(self._descriptor, (json.dumps({kind: content}) + "\n").encode())

    def send_prints_to(self, file: Path) -> None:
        """Redirect standard output and error to a file from now on."""
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)

    def restore(self) -> None:
        """Make the channel standard output again."""
        os.dup2(self._descriptor, 1)


def _begin_again(mirror: Mirror, options: argparse.Namespace, channel: _Channel, why: str) -> None:
    """Replace this process by one with another session; returns only when W&B is given up, which is logged.

    The new session is offline when an online one could not begin, else of the same mode; `why` is the error of the lost
    session.
    """
    if options.sync or mirror.has_ended or options.session >= MAX_SESSIONS:
        advice = "" if options.sync else f"; {LATER}"
        channel.say("warning", f"W&B did not take all of the run ({why}){advice}")
        return
    _end_children()
    channel.restore()
    mode = "offline" if mirror.mode == "online" and not mirror.has_begun else mirror.mode
    session = ["--mode", mode, "--session", str(options.session + 1), "--lost", options.lost or why]
    # wandb names the socket of its background process in WANDB_SERVICE, and that process is gone
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-m", "ray_jobs.tracking.mirror_process_main", options.run, *session]
    os.execve(sys.executable, command, environment)


def _end_children() -> None:
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=KILL_AFTER_S)
    for child in alive:
        child.kill()
    psutil.wait_procs(alive, timeout=KILL_AFTER_S)


if __name__ == "__main__":
    raise SystemExit(main())
