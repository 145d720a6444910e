"""The command line: `python -m ray_jobs VERB EXPERIMENT.yaml [--set section.field=value ...] [--json]`.

Exit codes: 0 done, 1 failed run, 2 bad input.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.nearest import one_of
from ray_jobs.experiment import Experiment, load_experiment

Verb = Callable[[Experiment, argparse.Namespace], dict[str, Any]]
DONE, FAILED, BAD_INPUT = 0, 1, 2
OPTIONS = ("set", "json", "new", "checkpoint", "out", "format")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options, rest = _build_parser().parse_known_args(arguments)
    try:
        if options.verb not in VERBS:
            raise ValueError(f"{options.verb!r} is not a verb; {one_of(options.verb, VERBS)}")
        experiment = load_experiment(options.experiment, options.set)
        options.changes = _read_evaluation_options(experiment, options.verb, rest)
        summary = VERBS[options.verb](experiment, options)
    except ValueError as error:
        return _fail(options, error, BAD_INPUT)
    except RuntimeError as error:
        return _fail(options, error, FAILED)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    if options.json:
        print(json.dumps(summary), flush=True)
    return DONE


def _fail(options: argparse.Namespace, error: Exception, code: int) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"error": str(error)}), flush=True)
    return code


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ray_jobs",
        description="Train, evaluate and inspect the experiments of five workloads on Ray.",
        epilog="Verbs: " + "; ".join(f"{name}: {verb.__doc__}" for name, verb in VERBS.items()),
    )
    parser.add_argument("verb", metavar="VERB", help=", ".join(VERBS))
    parser.add_argument("experiment", metavar="EXPERIMENT.yaml", type=Path)
    parser.add_argument("--set", metavar="SECTION.FIELD=VALUE", action="append", default=[], help="change one setting")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    parser.add_argument("--new", action="store_true", help="train: set an earlier run of these settings aside")
    parser.add_argument(
        "--checkpoint",
        metavar="FOLDER",
        help="evaluate, export: a model version, by default the best",
    )
    parser.add_argument("--out", metavar="FOLDER", help="export: a new folder for the files")
    parser.add_argument("--format", default="safetensors", help="export: the form of the files")
    return parser


def _read_evaluation_options(experiment: Experiment, verb: str, rest: Sequence[str]) -> dict[str, Any]:
    """Options such as `--num-samples 500` that a workload offers for its evaluation, as dotted settings."""
    from ray_jobs.yaml_reader import parse_yaml

    known = experiment.workload.evaluation_options if verb == "evaluate" else {}
    changes = {}
    words = iter(rest)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in known:
            raise ValueError(f"unknown argument {word!r}; {one_of(name, [*OPTIONS, *known])}")
        value = value if equals else next(words, None)
        if value is None:
            raise ValueError(f"--{name} needs a value")
        changes[known[name]] = parse_yaml(value)
    return changes


def _prepare(experiment: Experiment, options: argparse.Namespace) -> dict[str, Any]:
    """turn raw data into Parquet"""
    from ray_jobs.prepare import prepare_experiment

    return prepare_experiment(experiment)


def _train(experiment: Experiment, options: argparse.Namespace) -> dict[str, Any]:
    """train, or go on with an interrupted training"""
    from ray_jobs.launch import train
    from ray_jobs.prepare import progress_bar
    from ray_jobs.progress import format_metrics

    with progress_bar() as on_progress:
        result = train(experiment, on_progress=on_progress, is_new=options.new)
    metrics = result.final["metrics"]
    print(f"{format_metrics(metrics)}\nfolder: {result.folder}", flush=True)
    return {"run_id": result.run_id, "folder": str(result.folder), "metrics": metrics}


def _evaluate(experiment: Experiment, options: argparse.Namespace) -> dict[str, Any]:
    """evaluate a trained model"""
    from ray_jobs.evaluate import evaluate
    from ray_jobs.progress import format_metrics

    summary = evaluate(experiment, options.checkpoint, options.changes)
    print("\n".join(summary["messages"]), end="\n" if summary["messages"] else "")
    print(f"{format_metrics(summary['metrics'])}\npictures: {', '.join(summary['pictures']) or 'none'}", flush=True)
    return summary


def _export(experiment: Experiment, options: argparse.Namespace) -> dict[str, Any]:
    """write a trained model in a form that needs no training code"""
    from ray_jobs.export import export

    summary = export(experiment, options.checkpoint, options.out, options.format)
    print("\n".join(f"{name}: {value}" for name, value in summary.items()), flush=True)
    return summary


def _show(experiment: Experiment, options: argparse.Namespace) -> dict[str, Any]:
    """print the resolved experiment, its size and its data"""
    from ray_jobs.show import describe

    text, summary = describe(experiment)
    print(text, flush=True)
    return summary


VERBS: dict[str, Verb] = {"prepare": _prepare, "train": _train, "evaluate": _evaluate, "export": _export, "show": _show}
