"""Client of the jobs on a Ray cluster, by HTTP address and token: jobs are submitted, followed, stopped."""

import asyncio
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ray_jobs.cluster.loopback import bypass_proxy, is_loopback
from ray_jobs.cluster.ray_token import find_token
from ray_jobs.exit_codes import DONE, FAILED, STOPPED
from ray_jobs.terminal import print_text

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
ANSWER_TIMEOUT_S = 20.0
PATIENCE_S = 60.0
"""Seconds for which a cluster may not answer before its job is no longer followed."""
AGENT_PATIENCE_S = 30.0
"""Seconds for which a young cluster may not take a job: its head has no agent yet, which starts jobs."""
AGENT_ADVICE = (
    "If its agent is missing because another cluster runs on that machine, start this one with a "
    "--dashboard-agent-listen-port of its own"
)
RAYS_LOGGERS = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk")
"""Loggers of Ray that repeat what `submit` prints itself, and report how connections close."""


class JobError(RuntimeError):
    """Failure of a job or of following one; `exit_code` is what the command returns."""

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code


def find_address(given: str | None) -> str:
    """Return the given address, else RAY_API_SERVER_ADDRESS or RAY_ADDRESS when it is a URL, else this machine's.

    Raises ValueError for an address with credentials, and for one that is not HTTP.
    """
    found = [given, *(os.environ.get(name) for name in ADDRESS_VARIABLES)]
    address = next((item for item in found if item and (item is given or "://" in item)), DEFAULT_ADDRESS)
    parts = urlsplit(address)
    if parts.username:
        raise ValueError("credentials do not belong in the cluster's address; Ray's token goes into RAY_AUTH_TOKEN")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"the address {address!r} must be that of the cluster's dashboard, such as {DEFAULT_ADDRESS}")
    return address.rstrip("/")


def resolve_token(address: str) -> str | None:
    """Return the token that the cluster accepts, or None when it asks for none. Raises ValueError when access fails.

    A token is sent only to a cluster that asks for one.
    """
    if not _refuses(address, None):
        if not is_loopback(urlsplit(address).hostname):
            log_message(f"warning: {address} asks for no token; whoever reaches it can run anything there")
        return None
    if os.environ.get("RAY_AUTH_MODE") == "disabled":
        raise ValueError(f"{address} asks for a token, and RAY_AUTH_MODE=disabled forbids to send one; unset it")
    found = find_token()
    if found is None:
        raise ValueError(
            f"{address} asks for a token, and there is none here; put the one that `ray get-auth-token` prints on the "
            "cluster's head into RAY_AUTH_TOKEN, into a file named by RAY_AUTH_TOKEN_PATH, or into ~/.ray/auth_token"
        )
    token, origin = found
    if urlsplit(address).scheme == "http" and not is_loopback(urlsplit(address).hostname):
        log_message(f"warning: the token goes to {address} unencrypted; use https, or an SSH tunnel to its port")
    if _refuses(address, token):
        raise ValueError(
            f"{address} refuses the token from {origin}; it must be the one that `ray get-auth-token` prints on the "
            "cluster's head"
        )
    return token


def _refuses(address: str, token: str | None) -> bool:
    bypass_proxy(urlsplit(address).hostname)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        urllib.request.urlopen(
            urllib.request.Request(f"{address}/api/version", headers=headers), timeout=ANSWER_TIMEOUT_S
        ).close()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return True
        raise ValueError(f"{address} is no Ray dashboard: it answers {error.code} to /api/version") from error
    except OSError as error:
        cause = getattr(error, "reason", error)
        raise ValueError(
            f"no Ray cluster answers at {address} ({cause}); give its dashboard's with --address, or start one here "
            "with `ray start --head`"
        ) from error
    return False


class JobClient:
    """Client of the jobs of one cluster."""

    def __init__(self, address: str, token: str | None):
        from ray.job_submission import JobSubmissionClient

        self.address = address
        bypass_proxy(urlsplit(address).hostname)
        for name in RAYS_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        headers = {"Authorization": f"Bearer {token}"} if token else None
        with _as_only_address(address):
            self._client = JobSubmissionClient(address, headers=headers)

    def submit(self, command: str, package: Path, variables: Mapping[str, str], job: str) -> None:
        """Start a job.

        `command` is a shell command, which runs in the unpacked zip file `package` with these environment variables.

        Raises:
            JobError: The cluster cannot take the job.
        """
        environment = {"working_dir": str(package), "env_vars": dict(variables)}
        deadline, is_first = time.monotonic() + AGENT_PATIENCE_S, True
        while True:
            try:
                self._client.submit_job(entrypoint=command, submission_id=job, runtime_env=environment)
                return
            except (OSError, RuntimeError) as error:
                if time.monotonic() >= deadline:
                    raise JobError(f"{self.address} did not take the job: {error} {AGENT_ADVICE}", FAILED) from error
                if is_first:
                    is_first = False
                    log_message(f"{self.address} does not take the job yet, which a young cluster may not: {error}")
                time.sleep(1.0)

    def find(self, job: str) -> Any:
        """Return what the cluster knows of a job. Raises ValueError, naming the cluster's jobs, for an unknown one."""
        try:
            return self._client.get_job_info(job)
        except RuntimeError as error:
            known = [item.submission_id for item in self._client.list_jobs() if item.submission_id]
            raise ValueError(f"{self.address} has no job {job!r}; it has {', '.join(known[-10:]) or 'none'}") from error

    def stop(self, job: str) -> bool:
        """Send SIGTERM to a job; returns whether it was running."""
        return self._client.stop_job(job)

    def log(self, job: str) -> str:
        """Return all that a job has printed."""
        return self._client.get_job_logs(job)

    def follow(self, job: str, *, shown: int = 0) -> int:
        """Print what the job prints, without the first `shown` characters, to its end; returns its exit code."""
        from aiohttp import ClientError

        self._shown, answered = shown, time.monotonic()
        while True:
            try:
                asyncio.run(self._print_log(job))
                info = self._client.get_job_info(job)
                if info.status.is_terminal():
                    return _exit_code(info)
                answered = time.monotonic()
            except (OSError, RuntimeError, ClientError) as error:
                if time.monotonic() - answered > PATIENCE_S:
                    raise JobError(f"{self.address} does not answer any more ({error})", FAILED) from error
            time.sleep(1.0)

    async def _print_log(self, job: str) -> None:
        """Print what is new of the log, which Ray sends from its beginning, also after a lost connection."""
        seen = 0
        async for text in self._client.tail_job_logs(job):
            print_text(text[max(self._shown - seen, 0) :], end="")
            seen += len(text)
            self._shown = max(self._shown, seen)


def _exit_code(info: Any) -> int:
    if info.status == "SUCCEEDED":
        return DONE
    if info.status == "STOPPED":
        return STOPPED
    if info.driver_exit_code is None:  # it did not even start, or its machine was lost
        log_message((info.message or "").strip()[-2000:])
        return FAILED
    return info.driver_exit_code if info.driver_exit_code > 0 else 128 - info.driver_exit_code


@contextmanager
def _as_only_address(address: str) -> Iterator[None]:
    """Set Ray's address variables to this address inside the block, as its client prefers them to its argument."""
    before = {name: os.environ.pop(name) for name in ADDRESS_VARIABLES if name in os.environ}
    os.environ[ADDRESS_VARIABLES[0]] = address
    try:
        yield
    finally:
        del os.environ[ADDRESS_VARIABLES[0]]
        os.environ.update(before)


def log_message(message: str) -> None:
    """Print a message to standard error, as standard output is the job's."""
    print_text(message, is_error=True)
