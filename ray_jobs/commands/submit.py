"""The `submit` verb: another verb as a job on a Ray cluster."""

import argparse
from typing import Any

from ray_jobs.settings.builtin_experiments import is_experiment

SUMMARY = "run one of these verbs as a job on a Ray cluster"
DESCRIPTION = """Run a verb (by default `train`) as a job on a Ray cluster, and show the job's log as it grows.

The current folder is sent as the job's package. Ctrl-C leaves the job running. The options of the verb are given as
without `submit`; these are those of `submit` itself."""
EXAMPLE = "quintet submit train demo/flow_matching --address http://HEAD:8265"
GRAMMAR = (
    "submit [VERB] EXPERIMENT [options of the verb] [--address URL] [--env NAME] [--detach], submit --attach JOB or "
    "submit --stop JOB"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's own options; words that are none of them belong to the verb of the job."""
    parser.usage = f"quintet {GRAMMAR}"
    parser.add_argument("--address", metavar="URL", help="the cluster's dashboard; by default the one on this machine")
    parser.add_argument(
        "--env", metavar="NAME", action="append", default=[], help="give the job a variable of this shell; repeatable"
    )
    parser.add_argument("--detach", action="store_true", help="do not wait for the job's end")
    parser.add_argument("--attach", metavar="JOB", help="show a job's log again, and return its exit code")
    parser.add_argument("--stop", metavar="JOB", help="have a job save a checkpoint and end")


def read_command(options: argparse.Namespace) -> list[str]:
    """Return the words of the job's command; empty for --attach and --stop. Raises ValueError for both or neither."""
    command = list(options.command)
    if sum([bool(options.attach), bool(options.stop), bool(command)]) != 1:
        raise ValueError(f"write it as {GRAMMAR}")
    if options.env and not command:
        raise ValueError("--env is for a new job; one that runs has its variables already")
    if command and is_experiment(command[0]):
        command.insert(0, "train")
    return [*command, *(["--json"] if command and options.json else [])]


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Start, follow or stop a job; returns what is to say beyond what the job has printed."""
    from ray_jobs.cluster import submit_job

    command = read_command(options)
    if options.stop:
        return submit_job.stop(options.address, options.stop)
    if options.attach:
        return submit_job.attach(options.address, options.attach)
    return submit_job.submit(
        command, options.check_command, address=options.address, names=options.env, is_detached=options.detach
    )
