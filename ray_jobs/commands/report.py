"""The `report` verb: runs and searches as HTML files."""

import argparse
from typing import Any

from ray_jobs.arguments import add_set
from ray_jobs.terminal import print_text

SUMMARY = "write runs and searches as HTML files"
DESCRIPTION = """Write each run or search as one HTML file that is complete in itself: curves, pictures, tables,
results beside baselines, settings, lineage. It lies in the run's folder as report.html, or where --out says."""
EXAMPLE = "quintet report ~/quintet/runs/flow_matching_digits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "references", metavar="FOLDER_OR_NAME", nargs="*", help="the folder or the name of a run or a search"
    )
    parser.add_argument("--out", metavar="FILE.html", help="the file, for one run or search")
    add_set(parser, "storage.path=... alone: where names are looked for")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write the files, and print where they lie."""
    from ray_jobs.report.report import read_storage, write_reports

    written = write_reports(options.references, options.out, read_storage(options.set))
    print_text("\n".join(written))
    return {"reports": written}
