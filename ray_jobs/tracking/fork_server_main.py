"""Fork server of mirrors: `python -m ray_jobs.tracking.fork_server_main`, with a Unix socket as standard input.

A request is JSON: a list of arguments, sent with two file descriptors, to fork a mirror; a process id to end and reap
one. The answer is the new process id or the exit code, or the text of an error.
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
    """Serve until the driver closes its end of the socket; a forked child runs the mirror and exits."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the driver handles them, and its end closes the socket
    with suppress(OSError):
        os.nice(19)  # no training waits for this process
    with suppress(Exception):  # a mirror reports a broken package, when it imports wandb again
        import wandb  # noqa: F401
    arguments = _serve()
    if arguments is not None:
        _leave(mirror_process_main.main(arguments))


def _serve() -> list[str] | None:
    """Serve until the socket closes. Returns None then, and in a forked child the arguments of the mirror."""
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
    """Fork a child with these files as standard input and output; returns 0 in the child, and its process id here."""
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
    """End a forked mirror without exit hooks: one of wandb would remove a temporary folder that all mirrors share."""
    with suppress(Exception):  # containment: W&B has all of the run by now, or its loss has been reported
        import wandb

        wandb.teardown(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
