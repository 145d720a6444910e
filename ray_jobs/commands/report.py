"""The `report` verb: runs and searches as HTML files."""

import argparse
from typing import Any

from ray_jobs.arguments import add_set
from ray_jobs.terminal import print_text

SUMMARY = "write runs and searches as HTML files"
DESCRIPTION = """Write each run or search as one HTML file that is complete in itself: what was chosen on and what was
measured, curves, pictures, tables, settings, lineage. It lies in the run's folder as report.html, or where --out says.
Of several runs a page that compares them is written too, the settings that differ first."""
EXAMPLE = "quintet report ~/quintet/runs/flow_matching_digits --export paper"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "references", metavar="FOLDER_OR_NAME", nargs="*", help="the folder or the name of a run or a search"
    )
    parser.add_argument("--out", metavar="FILE.html", help="the file, for one run or search, or for the comparison")
    parser.add_argument(
        "--export", metavar="FOLDER", help="write the page's tables as CSV and LaTeX, its charts as SVG and PDF too"
    )
    add_set(parser, "storage.path=... alone: where names are looked for")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write the files, and print where they lie."""
    from ray_jobs.report.report import read_storage, write_reports

    written = write_reports(options.references, options.out, options.export, read_storage(options.set))
    print_text("\n".join(written))
    return {"reports": written}
