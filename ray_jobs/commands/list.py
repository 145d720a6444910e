"""The `list` verb: the experiments that come with the package."""

import argparse
from typing import Any

from ray_jobs.settings.builtin_experiments import list_builtin_experiments
from ray_jobs.terminal import show
from ray_jobs.text_table import TextTable

SUMMARY = "list the built-in experiments, each with a line"
DESCRIPTION = "List the experiments that come with the package. Every verb takes one by its name, in any folder."
EXAMPLE = "quintet list"
ADVICE = """train one:         quintet train demo/flow_matching
see its settings:  quintet show demo/flow_matching
run a search:      quintet sweep search/flow_matching_demo"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the list has no options of its own."""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Print a table for each group of experiments."""
    experiments = list_builtin_experiments()
    groups = dict.fromkeys(each.group for each in experiments)
    width = max(len(each.name) for each in experiments)
    tables = [
        TextTable(
            ["experiment", "what it is"],
            [[each.name.ljust(width), each.summary] for each in experiments if each.group == group],
            title=group,
        )
        for group in groups
    ]
    show(*(part for table in tables for part in (table, "")), ADVICE)
    return {
        "experiments": [
            {"name": each.name, "group": each.group, "summary": each.summary, "file": str(each.file)}
            for each in experiments
        ]
    }
