"""What every verb of the command line does: from parsed options to lines on standard output and a summary as JSON.

Each imports what it needs when it is called, so that `show` and `check` wait for no torch or Ray.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_pipelines.contract.did_you_mean import suggest
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.settings.experiment import Experiment

if TYPE_CHECKING:
    from ray_jobs.runs.training import Result

Verb = Callable[[argparse.Namespace], dict[str, Any]]
OPTIONS = ("set", "json", "new", "checkpoint")
EXPORT_OPTIONS = {"out": "out", "format": "format"}


def load_target(options: argparse.Namespace, load: Callable[..., Experiment] = load_experiment) -> Experiment:
    """The experiment that a verb works on."""
    if options.target is None:
        raise ValueError(f"{options.verb} needs an experiment: python -m ray_jobs {options.verb} EXPERIMENT.yaml")
    experiment = load(Path(options.target), options.set)
    known = {"evaluate": experiment.workload.evaluation_options, "export": EXPORT_OPTIONS}
    options.changes = read_options(options.rest, known.get(options.verb, {}))
    return experiment


def _load_to_train(options: argparse.Namespace) -> Experiment:
    """The experiment, once all that it comes after is trained; `--new` does not repeat a finished one of these."""
    experiment = load_target(options)
    if not experiment.after:
        return experiment
    from ray_jobs.runs.prerequisites import train_earlier

    train_earlier(experiment, _train_one)
    return load_target(options)


def _train_one(experiment: Experiment, *, is_new: bool = False) -> "Result":
    from ray_jobs.commands.prepare import progress_bar
    from ray_jobs.runs.training import train

    with progress_bar() as on_progress:
        return train(experiment, on_progress=on_progress, is_new=is_new)


def read_options(words: Sequence[str], known: Mapping[str, str]) -> dict[str, Any]:
    """Options such as `--num-samples 500` that a workload offers for its evaluation, as dotted settings."""
    from ray_jobs.settings.strict_yaml import parse_yaml

    changes = {}
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in known:
            raise ValueError(f"unknown argument {word!r}; {suggest(name, [*OPTIONS, *known])}")
        value = value if equals else next(remaining, None)
        if value is None:
            raise ValueError(f"--{name} needs a value")
        changes[known[name]] = parse_yaml(value)
    return changes


def _prepare(options: argparse.Namespace) -> dict[str, Any]:
    """turn raw data into Parquet"""
    from ray_jobs.commands.prepare import prepare_experiment

    return prepare_experiment(load_target(options))


def _train(options: argparse.Namespace) -> dict[str, Any]:
    """train, or go on with an interrupted training"""
    from ray_jobs.console import format_metrics

    result = _train_one(_load_to_train(options), is_new=options.new)
    metrics = result.final["metrics"]
    print(f"{format_metrics(metrics)}\nfolder: {result.folder}", flush=True)
    return {"run_id": result.run_id, "folder": str(result.folder), "metrics": metrics}


def _repeat(options: argparse.Namespace) -> dict[str, Any]:
    """train with several seeds; mean and standard deviation"""
    from ray_jobs.commands.repeat import format_spreads, read_seeds, repeat

    seeds = read_seeds(options.seeds)
    spreads, summary = repeat(_load_to_train(options), seeds, lambda one: _train_one(one, is_new=options.new))
    print(format_spreads(spreads), flush=True)
    return summary


def _sweep(options: argparse.Namespace) -> dict[str, Any]:
    """run the experiment's search, or go on with it"""
    from ray_jobs.commands.prepare import progress_bar
    from ray_jobs.search.sweep import sweep
    from ray_jobs.search.sweep_plan import build_sweep_plan

    setup = build_sweep_plan(_load_to_train(options), Path(options.target).stem, options.set)
    with progress_bar() as on_progress:
        return sweep(setup, on_progress=on_progress, is_new=options.new, extension=options.extend)


def _evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """evaluate a trained model"""
    from ray_jobs.commands.evaluate import evaluate
    from ray_jobs.console import format_metrics, format_table

    experiment = load_target(options)
    summaries = []
    for checkpoint in options.checkpoint or [None]:
        summary = evaluate(experiment, checkpoint, options.changes)
        summaries.append(summary)
        print("\n".join(summary["messages"]), end="\n" if summary["messages"] else "")
        print(f"{summary['checkpoint']}\n{format_metrics(summary['metrics'])}")
        written = [*summary["pictures"], *summary["files"]]
        print(f"pictures: {', '.join(written) or 'none'}", flush=True)
    if len(summaries) == 1:
        return summaries[0]
    print(format_table({summary["checkpoint"]: summary["metrics"] for summary in summaries}), flush=True)
    return {"evaluations": summaries}


def _export(options: argparse.Namespace) -> dict[str, Any]:
    """write a trained model in a form that needs no training code"""
    from ray_jobs.commands.export import export
    from ray_jobs.console import format_value

    experiment = load_target(options)
    checkpoint = options.checkpoint[-1] if options.checkpoint else None
    summary = export(experiment, checkpoint, options.changes.get("out"), options.changes.get("format", "safetensors"))
    print("\n".join(f"{name}: {format_value(value)}" for name, value in summary.items()), flush=True)
    return summary


def _show(options: argparse.Namespace) -> dict[str, Any]:
    """print the resolved experiment, its size and its data"""
    from ray_jobs.commands.show import describe

    text, summary = describe(load_target(options))
    print(text, flush=True)
    return summary


def _sync(options: argparse.Namespace) -> dict[str, Any]:
    """send what W&B lacks of the runs in a folder"""
    from data_pipelines.storage.folder import Folder
    from ray_jobs.commands.sync import sync

    if options.target is None:
        raise ValueError("sync needs a run's folder, a storage path or an experiment")
    is_experiment = options.target.endswith((".yaml", ".yml"))
    if not is_experiment:
        read_options(options.rest, {})
    summary = sync(load_target(options).folder if is_experiment else Folder(options.target))
    if summary["failed"]:
        raise RuntimeError(f"W&B did not take all of {', '.join(summary['failed'])}; the same command tries again")
    return summary


def _report(options: argparse.Namespace) -> dict[str, Any]:
    """write a run or a search as one HTML file"""
    from ray_jobs.report.report import read_storage, write_reports

    words = [options.target or "", *options.rest]
    targets = list(takewhile(lambda word: not word.startswith("--"), words))
    out = read_options(words[len(targets) :], {"out": "out"}).get("out")
    written = write_reports(list(filter(None, targets)), out, read_storage(options.set))
    print("\n".join(written), flush=True)
    return {"reports": written}


def _check(options: argparse.Namespace) -> dict[str, Any]:
    """say what this machine has and what a run would do here, W&B included"""
    from ray_jobs.commands.check import check

    text, summary = check(load_target(options) if options.target else None)
    print(text, flush=True)
    return summary


WORK_VERBS: dict[str, Verb] = {
    "prepare": _prepare,
    "train": _train,
    "repeat": _repeat,
    "sweep": _sweep,
    "evaluate": _evaluate,
    "export": _export,
    "show": _show,
    "sync": _sync,
    "report": _report,
    "check": _check,
}
