"""The `sweep` verb: the search of an experiment."""

import argparse
from pathlib import Path
from typing import Any

from ray_jobs.arguments import add_experiment
from ray_jobs.commands.train import load_to_train

SUMMARY = "run the experiment's search, or resume it"
DESCRIPTION = """Try the settings of the experiment's `search` section, several trials at a time.

An interrupted search is resumed by the same command."""
EXAMPLE = "quintet sweep search/flow_matching_demo"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--extend", metavar="N", type=int, default=0, help="try N points more")
    parser.add_argument(
        "--new", action="store_true", help="set an earlier search of these settings aside, runs and all"
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the search to its end; returns its best settings."""
    from ray_jobs.progress_bar import progress_bar
    from ray_jobs.search.sweep import sweep
    from ray_jobs.search.sweep_plan import build_sweep_plan

    plan = build_sweep_plan(load_to_train(options), Path(options.experiment).stem, options.set)
    with progress_bar() as bar:
        return sweep(plan, on_progress=bar.show_rows, is_new=options.new, extension=options.extend)
