"""The `predict` verb: a trained model applied to new inputs."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import add_model, complete_folder
from ray_jobs.prediction_arguments import add_options_of_model, find_model, given_words, read_words
from ray_jobs.terminal import print_text, show

if TYPE_CHECKING:
    from trainables.inference.predict_folder import PredictionPlan, Work

SUMMARY = "apply a trained model to new inputs"
DESCRIPTION = """Apply a trained model to files that no training has seen, or draw samples from it.

The model's own folder says all that is needed: no experiment, no training data and no run. What is done already is not
done again. Each workload has options of its own, which appear here when a model is given:
  quintet predict MODEL --help"""
EXAMPLE = "quintet predict ~/quintet/runs/NAME --input photographs --out enlarged"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--input", metavar="PATH_OR_URI", help="a file, or a folder whose files are all predicted")
    parser.add_argument("--out", metavar="PATH_OR_URI", help="the folder of the results")
    parser.add_argument(
        "--on-bad-file",
        choices=["refuse", "skip"],
        default="refuse",
        help="refuse: damaged files are an error, after all others are predicted; skip: they are named in a warning",
    )
    parser.add_argument(
        "--num-workers",
        metavar="N",
        type=int,
        help="0: this process; more: workers on Ray. By default 0, and in a submitted job as many as the cluster holds",
    )


def add_workload_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_options_of_model(parser, words, add_arguments)


def check_job(words: Sequence[str], parse: Callable[[Sequence[str]], Any]) -> Path:
    """Check the words of a prediction that is to run as a job; returns the model as it is given.

    The job runs on other machines: paths are given in full, and a model that is not found from here may be there.
    `parse` reads the words with the options of the model's workload. Raises ValueError for what would be refused.
    """
    from ray_jobs.runs.model_references import SCHEME, is_run_name, open_reference

    known = find_model(words[0], words[1:], add_arguments)
    for name, value in (("MODEL", known.model), ("--input", known.input), ("--out", known.out)):
        is_name = name == "MODEL" and (is_run_name(value) or value.startswith(SCHEME))
        if value is not None and not is_name and "://" not in value and not Path(value).is_absolute():
            raise ValueError(f"{name} {value}: a job runs on other machines; give a URI, or a path of theirs in full")
    if known.out is None:
        raise ValueError("predict needs --out PATH_OR_URI, the folder of the results")
    try:
        open_reference(known.model, known.storage)
    except ValueError as error:
        show(f"{error}; the job looks for the model on its own machines, and checks the options of its workload there")
    else:
        parse(words)
    return Path(known.model)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Predict all inputs, and print what was written."""
    from data_pipelines.readers.bad_file import few
    from data_pipelines.storage.folder import Folder
    from ray_jobs.progress_bar import progress_bar
    from trainables.inference.predict_folder import PredictionPlan, predict_folder

    if options.out is None:
        raise ValueError("predict needs --out PATH_OR_URI, the folder of the results")
    model = options.opened
    plan = PredictionPlan(model, read_words(model, given_words(options)), Folder(complete_folder(options.out)))
    source = None if options.input is None else Folder(complete_folder(options.input))
    with progress_bar() as bar:
        summary = predict_folder(
            plan, source, _choose_work(plan, options.num_workers), on_bad_file=options.on_bad_file, show=bar.show_inputs
        )
    show(
        f"{summary['predicted']:,} of {summary['inputs']:,} predicted, {summary['done_before']:,} were done before",
        f"results in {summary['folder']}: {few(summary['tables'])}",
    )
    return {"model": model.source, **summary}


def _choose_work(plan: "PredictionPlan", num_workers: int | None) -> "Work":
    from ray_jobs.cluster.connection import connect, is_submitted
    from trainables.inference.loading import choose_device
    from trainables.inference.predict_folder import work_here

    if num_workers == 0 or (num_workers is None and not is_submitted()):
        return work_here(plan, choose_device())
    connect()  # before Ray is imported, which reads the environment then
    import ray

    from trainables.ray_train.predict_on_ray import work_on_ray

    have = ray.cluster_resources()
    gpus = 1.0 if have.get("GPU", 0.0) >= 1 else 0.0
    rooms = int(have["GPU"] if gpus else have.get("CPU", 1.0))
    count = rooms if num_workers is None else num_workers
    if count > rooms:
        print_text(f"--num-workers {count}: the cluster has room for {rooms} now; more start as it grows")
    return work_on_ray(plan, num_workers=max(count, 1), cpus=1.0, gpus=gpus)
