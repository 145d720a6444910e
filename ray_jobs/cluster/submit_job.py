"""Submission of a verb as a job on a Ray cluster, followed as if it ran here; it runs on when this process ends."""

import os
import shlex
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ray_jobs.cluster.ray_job_client import JobClient, JobError, find_address, log_message, resolve_token
from ray_jobs.cluster.working_dir_package import list_package, write_package
from ray_jobs.exit_codes import DONE, INTERRUPTED

STOP_WAIT_S = 120
"""How long a stopped job may take to save its checkpoint before it is killed; Ray's own default is 3 s."""

Check = Callable[[Sequence[str]], Path]
"""Checks a command's words as the job will; returns the experiment as it is given, a file or the name of a built-in
one. Raises ValueError."""


def submit(
    command: Sequence[str],
    check: Check,
    *,
    address: str | None,
    names: Sequence[str] = (),
    is_detached: bool = False,
) -> dict[str, Any]:
    """Run a command as a job in a package of the current folder, and show its log to its end.

    `check` checks the verb and its words as the job will. Without an address the cluster is the one on this machine;
    `names` are variables of this process that the job gets. A detached job is not waited for.

    Returns:
        Results besides the job's own output: of a detached job its id and address.

    Raises:
        ValueError: The command would be refused, or there is no cluster.
        JobError: The job does not end well; the error has the exit code.
    """
    variables = read_variables(names)
    command, files = _resolve_command(command, check, Path.cwd())
    client = _connect(address)
    if variables:
        words = "their values are in Ray's job information, so whoever reaches the dashboard can read them"
        log_message(f"the job gets {', '.join(variables)}; {words}")
    job = send(client, command, Path.cwd(), files, variables)
    if is_detached:
        log_message(f"it runs on its own; see it with `{_again(client)} --attach {job}`")
        return {"job": job, "address": client.address}
    follow(client, job)
    return {}


def read_variables(names: Sequence[str]) -> dict[str, str]:
    """Return variables of this process by name. Raises ValueError, which holds no value, for one that is not set."""
    for name in names:
        word, mark, _ = name.partition("=")
        if mark:
            raise ValueError(f"--env takes a name without a value: export {word} here, and give --env {word}")
        if name not in os.environ:
            raise ValueError(f"--env {name}: this variable is not set here; export it first")
        if name.startswith("RAY_"):
            raise ValueError(f"--env {name}: Ray's own variables are set where the cluster is started")
    return {name: os.environ[name] for name in names}


def attach(address: str | None, job: str) -> dict[str, Any]:
    """Show a job's log again, from its beginning to its end. Raises JobError when the job does not end well."""
    client = _connect(address)
    client.find(job)
    follow(client, job)
    return {}


def _connect(address: str | None) -> JobClient:
    found = find_address(address)
    return JobClient(found, resolve_token(found))


def _resolve_command(command: Sequence[str], check: Check, folder: Path) -> tuple[list[str], list[str]]:
    """Return the command with the experiment's path in the package, and the package's files.

    A built-in experiment goes by its name, which the job finds in its own package.
    """
    given = check(command)
    files = list_package(folder)
    if not given.is_file():
        return list(command), files
    name = given.absolute()
    if not name.is_relative_to(folder) or str(name.relative_to(folder)) not in files:
        raise ValueError(
            f"{given} does not go to the cluster: it must lie in {folder}, which is sent as the job's package, and not "
            "be left out by .gitignore or .rayignore"
        )
    return [str(name.relative_to(folder)) if word == str(given) else word for word in command], files


def send(
    client: JobClient,
    command: Sequence[str],
    folder: Path,
    files: list[str],
    variables: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Upload the files of a folder, and start `python -m ray_jobs COMMAND` there; returns the job's id."""
    job = f"{command[0]}_{Path(command[1]).stem}_{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="quintet-") as temporary:
        package = Path(temporary, "package.zip")
        write_package(folder, files, package)
        log_message(
            f"job {job} at {client.address}: {len(files)} files, {package.stat().st_size / 2**20:.1f} MiB packed"
        )
        # exec: the job's process is the driver itself, and gets the signals and gives the exit code
        line = shlex.join(["exec", "python", "-m", "ray_jobs", *command])
        client.submit(line, package, {**variables, "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}, job)
    return job


def follow(client: JobClient, job: str) -> None:
    """Show a job's log to its end. Raises JobError when it fails, or when this command is interrupted."""
    try:
        code = client.follow(job)
    except KeyboardInterrupt:
        raise JobError(
            f"the job {job} goes on; see it again with `{_again(client)} --attach {job}`, stop it with "
            f"`{_again(client)} --stop {job}`",
            INTERRUPTED,
        ) from None
    if code != DONE:
        raise JobError(f"the job {job} ended with exit code {code}", code)


def _again(client: JobClient) -> str:
    return f"quintet submit --address {client.address}"


def stop(address: str | None, job: str) -> dict[str, Any]:
    """Stop a job, and wait until it has ended."""
    client = _connect(address)
    status = client.find(job).status
    if status.is_terminal():
        log_message(f"the job {job} has ended already: {status.value}")
        return {"job": job, "status": status.value}
    shown = len(client.log(job))
    client.stop(job)
    log_message(f"the job {job} was told to stop, and has {STOP_WAIT_S} s to save a checkpoint")
    client.follow(job, shown=shown)
    return {"job": job, "status": client.find(job).status.value}
