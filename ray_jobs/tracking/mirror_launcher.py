"""Launchers of mirror processes: a new interpreter, or a fork of a process that has imported wandb already."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol


class MirrorProcess(Protocol):
    """Process of a mirror, leader of a process group of its own; its output ends when the process does."""

    @property
    def pid(self) -> int:
        """Id of the process and of its group."""
        ...

    @property
    def stdin(self) -> Any:
        """Pipe that wakes the mirror; its end is the end of the run."""
        ...

    @property
    def stdout(self) -> Any:
        """Pipe of the mirror's messages, one JSON object a line."""
        ...

    def end(self) -> int:
        """Kill what is left of the process and its group; returns the exit code, -N when signal N ended the process."""
        ...


def start_alone(arguments: Sequence[str]) -> "MirrorProcess":
    """Start a mirror in a new interpreter. Raises OSError."""
    return _Alone(
        _popen("ray_jobs.tracking.mirror_process_main", *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    )


class ForkServer:
    """Fork server, which starts many mirrors for the price of one import of wandb, a second of CPU time.

    Its process imports wandb once and forks the mirrors. The process ends with `close`, or with the driver, however the
    driver ended.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):  # `start` tries again, and raises
            self._begin()

    def _begin(self) -> None:
        self._channel, theirs = socket.socketpair()
        try:
            self._process = _popen("ray_jobs.tracking.fork_server_main", stdin=theirs, stdout=subprocess.DEVNULL)
        finally:
            theirs.close()

    def start(self, arguments: Sequence[str]) -> MirrorProcess:
        """Fork a mirror, after a restart of the server if it was killed. Raises OSError."""
        if self._process is None or self._process.poll() is not None:
            self._channel.close()  # the server was killed; the mirrors that it has forked continue
            self._begin()
        stdin_of_mirror, stdin = os.pipe()
        stdout, stdout_of_mirror = os.pipe()
        streams = os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb")
        try:
            pid = self.ask(list(arguments), [stdin_of_mirror, stdout_of_mirror])
        except BaseException:
            for stream in streams:
                stream.close()
            raise
        finally:
            os.close(stdin_of_mirror)
            os.close(stdout_of_mirror)
        return _Forked(self, pid, *streams)

    def ask(self, question: list[str] | int, files: Sequence[int] = ()) -> int:
        """Request the fork of a mirror with a list of arguments, or the end of the mirror with a process id.

        Returns the process id or the exit code. Raises OSError.
        """
        with self._lock:
            socket.send_fds(self._channel, [json.dumps(question).encode()], files)
            answer = self._channel.recv(4096).decode()
        if not answer.lstrip("-").isdigit():
            raise OSError(answer or "the process that forks mirrors is gone")
        return int(answer)

    def close(self) -> None:
        """End the server; mirrors that still run continue."""
        self._channel.close()
        if self._process is not None:
            self._process.wait()


class _Alone:
    def __init__(self, process: subprocess.Popen[bytes]):
        self._process = process
        self.pid, self.stdin, self.stdout = process.pid, process.stdin, process.stdout

    def end(self) -> int:
        if self._process.returncode is None:
            _kill_group(self.pid)
        return self._process.wait()


class _Forked:
    def __init__(self, fork_server: ForkServer, pid: int, stdin: Any, stdout: Any):
        self._fork_server, self._code = fork_server, None
        self.pid, self.stdin, self.stdout = pid, stdin, stdout

    def end(self) -> int:
        if self._code is None:
            try:
                self._code = self._fork_server.ask(self.pid)
            except OSError:  # the fork server is gone
                self._code = -signal.SIGKILL
        return self._code


def kill_and_reap(pid: int) -> int:
    """Do what `MirrorProcess.end` does, in the parent of the process. Raises OSError for any other process's child."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    _kill_group(pid)
    if not ended:
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _popen(module: str, *arguments: str, stdin: Any, stdout: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
