"""The page and the picture of all figures that were measured: `benchmarks/RESULTS.md`, `benchmarks/ladder.svg`.

python -m benchmarks.report
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import feed, gpu, ladder, peers, search, streaming, tracking, workers
from benchmarks.cases import CASES
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


SECTIONS = [
    *(Section(f"The ladder: {name}", f"ladder_{name}", ladder, ladder.format_table) for name in CASES),
    Section("On a GPU", "gpu", gpu, gpu.format_table),
    Section("Two workers", "workers", workers, workers.format_table),
    *(Section(f"Peers: {name}", f"peers_{name}", peers, peers.format_table) for name in peers.WORKLOADS),
    Section("The feed", "feed", feed, feed.format_table),
    Section("Sets larger than memory", "streaming", streaming, streaming.format_table),
    Section("Tracking", "tracking", tracking, tracking.format_table),
    Section("Searches", "search", search, search.format_table),
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


def draw_ladders(ladders: dict[str, Any], file: Path) -> None:
    """The speed of each layer over the median of the bare loop: the median of all blocks, and their quartiles."""
    import matplotlib  # pyright: ignore[reportMissingImports]

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "quintet"
    from matplotlib import pyplot  # pyright: ignore[reportMissingImports]

    figure, axes = pyplot.subplots(figsize=(9, 3.6), layout="constrained")
    layers = list(ladder.LAYERS)
    for index, layer in enumerate(layers):
        found = [_shares(content["figures"], layer) for content in ladders.values()]
        places = [place + (index - (len(layers) - 1) / 2) * 0.13 for place in range(len(ladders))]
        middles = [middle for _, middle, _ in found]
        reach = [[middle - low for low, middle, _ in found], [high - middle for _, middle, high in found]]
        label = f"{layer}: {ladder.LAYERS[layer][0]}"
        axes.errorbar(places, middles, reach, fmt="o", markersize=4, elinewidth=1.2, label=label)
    axes.axhline(100, color="black", linewidth=0.6)
    axes.set_xticks(range(len(ladders)), [name.replace("_", " ") for name in ladders])
    axes.set_ylabel("speed, % of the bare loop")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def _shares(runs: dict[str, Any], layer: str) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of the speeds, in per cent."""
    bare = ladder.step_s(runs["L0"])
    low, middle, high = statistics.quantiles([100 * bare / block for block in ladder.blocks_of(runs[layer])], n=4)
    return low, middle, high


if __name__ == "__main__":
    main()
