"""The `export` verb: a trained model in forms that need no training code."""

import argparse
from typing import Any

from ray_jobs.arguments import add_model, complete_folder
from ray_jobs.terminal import print_text

SUMMARY = "write a trained model in forms that need no training code"
DESCRIPTION = """Write a trained model to a new folder: weights as safetensors, graphs of torch.export (pt2) and ONNX.

Beside them lie `card.json` and `README.md`, which say what goes in, what comes out, how it is used and was made. The
model's own folder says all that is needed: no experiment, no training data and no run."""
EXAMPLE = "quintet export ~/quintet/runs/NAME --format safetensors,onnx --out exported"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--out", metavar="PATH_OR_URI", help="a new folder for the files")
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        action="append",
        default=[],
        help="safetensors, pt2 or onnx, several with commas between; by default safetensors",
    )
    parser.add_argument(
        "--license", metavar="TEXT", help="the licence of the weights, for example apache-2.0; by default not stated"
    )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Export one model, and print what was written."""
    from data_pipelines.storage.folder import Folder
    from ray_jobs.console import format_value
    from ray_jobs.runs.model_references import open_reference
    from trainables.inference.export.export_model import export_model, read_formats

    if options.out is None:
        raise ValueError("export needs --out PATH_OR_URI, a new folder for the files")
    formats = read_formats(options.format)
    model, out = open_reference(options.model, options.storage), Folder(complete_folder(options.out))
    written = export_model(model, out, formats, license_name=options.license)
    summary = {"model": model.source, "folder": str(out), **written}
    shown = {**summary, "files": ", ".join(written["files"])}
    print_text("\n".join(f"{name.replace('_', ' ')}: {format_value(value)}" for name, value in shown.items() if value))
    return summary
