"""The `submit` verb: a verb as a job on a Ray cluster, followed as if it ran here, and left running when this ends."""

import argparse
import shlex
import tempfile
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ray_jobs.cluster.ray_job_client import JobClient, JobError, find_address, log_message, resolve_token
from ray_jobs.cluster.working_dir_package import list_package, write_package
from ray_jobs.exit_codes import DONE, INTERRUPTED

STOP_WAIT_S = 120
"""How long a stopped job may take to save its checkpoint before it is killed; Ray's own default is 3 s."""
GRAMMAR = (
    "submit [VERB] EXPERIMENT.yaml [options of the verb] [--address URL] [--detach], submit --attach JOB or "
    "submit --stop JOB"
)

Check = Callable[[Sequence[str]], Path]
"""Looks through a command's words as the job will; returns the experiment's file. Raises ValueError."""


def submit(words: Sequence[str], check: Check) -> dict[str, Any]:
    """`words` are those beside `submit`; returns what is to say beyond what the job has printed.

    Raises JobError with the exit code of a job that does not end well.
    """
    options, command = _parse(words)
    asked = [name for name in ("attach", "stop") if getattr(options, name)]
    if len(asked) + bool(command) != 1:
        raise ValueError(f"write it as {GRAMMAR}")
    files: list[str] = []
    if not asked:
        if command[0].endswith((".yaml", ".yml")):
            command.insert(0, "train")
        command, files = _settle_command([*command, *(["--json"] if options.json else [])], check, Path.cwd())
    address = find_address(options.address)
    client = JobClient(address, resolve_token(address))
    if options.stop:
        return stop(client, options.stop)
    if options.attach:
        client.find(options.attach)
        attend(client, options.attach)
        return {}
    job = send(client, command, Path.cwd(), files)
    if options.detach:
        log_message(f"it runs on its own; see it with `{_again(client)} --attach {job}`")
        return {"job": job, "address": address}
    attend(client, job)
    return {}


def _parse(words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs submit", usage=f"python -m ray_jobs {GRAMMAR}", allow_abbrev=False
    )
    parser.add_argument("--address", metavar="URL", help="the cluster's dashboard")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--detach", action="store_true", help="do not wait for the job's end")
    parser.add_argument("--attach", metavar="JOB", help="show a job's log again, and return its exit code")
    parser.add_argument("--stop", metavar="JOB", help="have a job save a checkpoint and end")
    return parser.parse_known_args(words)


def _settle_command(command: list[str], check: Check, folder: Path) -> tuple[list[str], list[str]]:
    """The command with the experiment's name in the package, and the package's files."""
    given = check(command)
    files = list_package(folder)
    name = given.absolute()
    if not name.is_relative_to(folder) or str(name.relative_to(folder)) not in files:
        raise ValueError(
            f"{given} does not go to the cluster: it must lie in {folder}, which is sent as the job's package, and not "
            "be left out by .gitignore or .rayignore"
        )
    return [str(name.relative_to(folder)) if word == str(given) else word for word in command], files


def send(client: JobClient, command: Sequence[str], folder: Path, files: list[str]) -> str:
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
        client.submit(line, package, {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S)}, job)
    return job


def attend(client: JobClient, job: str) -> None:
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
    return f"python -m ray_jobs submit --address {client.address}"


def stop(client: JobClient, job: str) -> dict[str, Any]:
    """Stop a job, and wait until it has ended."""
    status = client.find(job).status
    if status.is_terminal():
        log_message(f"the job {job} has ended already: {status.value}")
        return {"job": job, "status": status.value}
    shown = len(client.log(job))
    client.stop(job)
    log_message(f"the job {job} was told to stop, and has {STOP_WAIT_S} s to save a checkpoint")
    client.follow(job, shown=shown)
    return {"job": job, "status": client.find(job).status.value}
