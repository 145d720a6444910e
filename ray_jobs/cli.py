"""The command line: `python -m ray_jobs VERB EXPERIMENT.yaml [--set section.field=value ...] [--json]`.

Exit codes: `ray_jobs/exit_codes.py`.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_pipelines.contract.did_you_mean import suggest
from ray_jobs.exit_codes import BAD_INPUT, DONE, FAILED, INTERRUPTED, TERMINATED
from ray_jobs.settings.experiment import check_experiment
from ray_jobs.verbs import WORK_VERBS, Verb, load_target


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        if options.verb not in VERBS:
            raise ValueError(f"{options.verb!r} is not a verb; {suggest(options.verb, VERBS)}")
        summary = VERBS[options.verb](options)
    except ValueError as error:
        return _fail(options, error, BAD_INPUT)
    except (RuntimeError, OSError) as error:
        return _fail(options, error, getattr(error, "exit_code", FAILED))
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as ending:
        if ending.code != signal.SIGTERM:
            raise
        return TERMINATED  # outside of a training Ray answers the signal, with another code
    if options.json and summary:
        print(json.dumps(summary), flush=True)
    return DONE


def _fail(options: argparse.Namespace, error: Exception, code: int) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"error": str(error)}), flush=True)
    return code


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options; `words` as they are given, `rest` what no option takes."""
    options, options.rest = _build_parser().parse_known_args(words)
    options.words = list(words)
    return options


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs",
        description="Train, evaluate and inspect the experiments of five workloads on Ray.",
        epilog="\n".join(["verbs:", *(f"  {name:<10}{verb.__doc__}" for name, verb in VERBS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", metavar="VERB", help=", ".join(VERBS))
    parser.add_argument("target", metavar="EXPERIMENT.yaml", nargs="?", help="sync, report: a run's folder, ...")
    parser.add_argument("--set", metavar="SECTION.FIELD=VALUE", action="append", default=[], help="change one setting")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    parser.add_argument("--seeds", metavar="N,N,...", help="repeat: the seeds")
    parser.add_argument("--extend", metavar="N", type=int, default=0, help="sweep: try N points more")
    parser.add_argument("--new", action="store_true", help="train, sweep: set an earlier run of these settings aside")
    parser.add_argument(
        "--checkpoint",
        metavar="MODEL",
        action="append",
        default=[],
        help="evaluate, export: a path, a run, or wandb:team/project/name:alias; by default the best",
    )
    return parser


def _submit(options: argparse.Namespace) -> dict[str, Any]:
    """run one of these verbs as a job on a Ray cluster"""
    from ray_jobs.cluster.submit_job import submit

    options.words.remove("submit")
    return submit(options.words, check_words)


def check_words(words: Sequence[str]) -> Path:
    """The experiment file of a command that is to run as a job. Raises ValueError when it could not."""
    options = parse(words)
    jobs = VERBS.keys() - {"submit", "report"}
    if options.verb not in jobs:
        raise ValueError(f"{options.verb!r} is not a verb for a job; {suggest(options.verb, jobs)}")
    load_target(options, check_experiment)
    return Path(options.target)


VERBS: dict[str, Verb] = {**WORK_VERBS, "submit": _submit}
