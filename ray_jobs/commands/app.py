"""The `app` verb: a local web page on which files are dropped, and a trained model's answers seen."""

import argparse
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray_jobs.arguments import add_model
from ray_jobs.prediction_arguments import add_options_of_model, given_words
from ray_jobs.terminal import print_text

SUMMARY = "show a trained model on a local web page"
DESCRIPTION = """Serve a web page on this machine alone, on which files are dropped and a trained model's answers seen.

The options of the model's workload are fields of the page; given here, they are what it begins with:
  quintet app MODEL --help
Ctrl-C ends it; dropped files and results are then deleted. It needs Gradio: pip install quintet[app]"""
EXAMPLE = "quintet app ~/quintet/runs/NAME --port 8080 --no-browser"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--port", metavar="N", type=int, help="the port, by default a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")


def add_workload_options(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    add_options_of_model(parser, words, add_arguments)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Serve the page until Ctrl-C or SIGTERM."""
    from ray_jobs.app.answers import AppModel
    from ray_jobs.app.page import build_page
    from ray_jobs.app.server import import_gradio, serve_page
    from ray_jobs.cluster.loopback import without_proxies

    if options.port is not None and not 0 < options.port < 65536:
        raise ValueError(f"--port {options.port}: a port is a number from 1 to 65535")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with without_proxies(), TemporaryDirectory(prefix="quintet-app-") as folder:  # Gradio's client refuses SOCKS
        gradio = import_gradio(Path(folder, "uploads"))
        model = AppModel(options.opened, Path(folder, "results"))
        page = build_page(gradio, model, given_words(options))
        opens = not options.no_browser
        with serve_page(gradio, page, model.folder, port=options.port, opens_browser=opens) as address:
            print_text(f"{address} shows {model.model.source}; Ctrl-C ends it")
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                print_text("the page is closed")
    return {"model": model.model.source, "address": address}
