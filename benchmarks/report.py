"""The page and the pictures of all figures that were measured: `benchmarks/RESULTS.md` and the SVG files beside it.

python -m benchmarks.report
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import checkpoints, fsdp, gpu, growth, ladder, peers, search, streaming, tracking, workers
from benchmarks.cases import CASES
from benchmarks.feed import __main__ as feed
from benchmarks.pictures import draw_feeds, draw_ladders, draw_preparations
from benchmarks.prepare import __main__ as prepare
from benchmarks.pruning_peers import __main__ as pruning_peers
from benchmarks.results import list_results, load_results

HERE = Path(__file__).resolve().parent
PICTURE = "ladder.svg"


@dataclass(frozen=True)
class Section:
    """One benchmark on the page."""

    title: str
    result: str
    """Name of the file in `results`."""
    module: ModuleType
    """Its head says how it was measured."""
    format_table: Callable[[Any], str]
    picture: str = ""
    """What it shows; drawn beside the page, by the name of the result."""
    draw: Callable[[Any, Path], None] | None = None


SECTIONS = [
    *(Section(f"The ladder: {name}", f"ladder_{name}", ladder, ladder.format_table) for name in CASES),
    Section("On a GPU", "gpu", gpu, gpu.format_table),
    Section("Two workers", "workers", workers, workers.format_table),
    Section("A part of each parameter for each worker", "fsdp", fsdp, fsdp.format_table),
    *(Section(f"Peers: {name}", f"peers_{name}", peers, peers.format_table) for name in peers.WORKLOADS),
    Section("Peers: criteria of pruning", "pruning_peers", pruning_peers, pruning_peers.format_table),
    Section("The feed", "reading", feed, feed.format_table, "Rows a second of each feed over ours", draw_feeds),
    Section("Preparation", "preparing", prepare, prepare.format_table, "Seconds of each", draw_preparations),
    Section("Sets larger than memory", "streaming", streaming, streaming.format_table),
    Section("Tracking", "tracking", tracking, tracking.format_table),
    Section("Searches", "search", search, search.format_table),
    Section("Checkpoints", "checkpoints", checkpoints, checkpoints.format_table),
    Section("Growth", "growth", growth, growth.format_table),
]


def main() -> None:
    """Write both files from what lies in `results`."""
    found = {section: content for section in SECTIONS if (content := load_results(section.result))}
    parts = ["# What was measured", f"Made by `make bench` from `benchmarks/results`. {describe_machines()}"]
    ladders = {name: runs for name in CASES if (runs := load_results(f"ladder_{name}"))}
    if ladders:
        draw_ladders(ladders, HERE / PICTURE)
        parts.append(f"![Speed of each layer against the bare loop]({PICTURE})")
    said: set[str] = set()
    for section, content in found.items():
        parts.append(f"## {section.title}")
        how = (section.module.__doc__ or "").strip()
        if how not in said:
            said.add(how)
            parts.append(_format_head(how))
        if section.draw:
            section.draw(content["figures"], HERE / f"{section.result}.svg")
            parts.append(f"![{section.picture}]({section.result}.svg)")
        parts.append(section.format_table(content["figures"]))
    (HERE / "RESULTS.md").write_text("\n\n".join(parts) + "\n")
    print(HERE / "RESULTS.md")


def describe_machines() -> str:
    """Where and when the figures are of."""
    known = {(content["date"], *content["machine"].items()) for content in map(load_results, list_results()) if content}
    words = [", ".join([date, *(f"{name} {value}" for name, value in items)]) for date, *items in sorted(known)]
    return f"Measured on: {'; '.join(words)}."


def _format_head(head: str) -> str:
    """The command of a module's head as code."""
    lines = [f"`{line}`" if line.startswith("python -m ") else line for line in head.splitlines()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
