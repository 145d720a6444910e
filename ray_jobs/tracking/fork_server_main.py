"""The process that forks mirrors: `python -m ray_jobs.tracking.fork_server_main`, with a Unix socket as standard input.

A list of arguments, with two files, is a mirror to fork; a number is one to end and reap. Each is answered by a number,
or by the words of an error.
"""

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from ray_jobs.tracking import mirror_process_main
from ray_jobs.tracking.mirror_launcher import kill_and_reap


def main() -> None:
    """Serve until the driver closes its end; in a forked mirror, mirror."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are the driver's, whose end we see
    with suppress(OSError):
        os.nice(19)  # no training waits for it
    with suppress(Exception):  # a package that cannot be used is the mirror's to report, when it tries again
        import wandb  # noqa: F401
    arguments = _serve()
    if arguments is not None:
        _leave(mirror_process_main.main(arguments))


def _serve() -> list[str] | None:
    """The arguments of a mirror, in the process that is to be it; None at the end."""
    with socket.socket(fileno=os.dup(0)) as channel:
        while True:
            words, files, *_ = socket.recv_fds(channel, 65536, 2)
            if not words:
                return None
            question = json.loads(words)
            try:
                answer = _fork(files) if isinstance(question, list) else kill_and_reap(question)
            except OSError as error:
                channel.send(str(error).encode())
                continue
            if answer == 0 and isinstance(question, list):
                return question
            channel.send(str(answer).encode())


def _fork(files: Sequence[int]) -> int:
    """A child with these files as standard input and output; returns 0 there, and its process id here."""
    try:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.dup2(files[0], 0)
            os.dup2(files[1], 1)
    finally:
        for file in files:
            os.close(file)
    return pid


def _leave(code: int) -> NoReturn:
    """End a forked mirror. An exit hook of wandb would remove a temporary folder that all mirrors share."""
    with suppress(Exception):  # containment: W&B has all of the run by now, or its loss has been said
        import wandb

        wandb.teardown(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
