"""Pictures of what was measured, as SVG files whose bytes depend on the figures alone."""

import statistics
from pathlib import Path
from typing import Any

from benchmarks import ladder
from benchmarks.feed.peers import TENSORS
from benchmarks.feed.table import best, list_places, ratio
from benchmarks.feed.ways import RESIDENT, STREAMED, STREAMING_PEERS
from benchmarks.prepare import __main__ as prepare
from benchmarks.prepare.run import OURS


def draw_ladders(ladders: dict[str, Any], file: Path) -> None:
    """The speed of each layer over the median of the bare loop: the median of all blocks, and their quartiles."""
    figure, axes = _open_figure(3.6)
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
    _save(figure, file)


def _shares(runs: dict[str, Any], layer: str) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of the speeds, in per cent."""
    bare = ladder.step_s(runs["L0"])
    low, middle, high = statistics.quantiles([100 * bare / block for block in ladder.blocks_of(runs[layer])], n=4)
    return low, middle, high


def draw_feeds(found: dict[str, Any], file: Path) -> None:
    """The rate of each feed over that of our streamed one, for each workload, storage and number of workers."""
    places = [(name, *place) for name, ways in found.items() for place in sorted(list_places(ways))]
    figure, axes = _open_figure(1.5 + 0.3 * len(places))
    for name in (*STREAMING_PEERS, TENSORS, RESIDENT):
        points = []
        for row, (workload, storage, workers) in enumerate(places):
            theirs, ours = (best(found[workload], (of,), storage, workers) for of in (name, STREAMED))
            value = ratio(theirs, ours)
            if value is not None:
                points.append((value, row))
        axes.plot([value for value, _ in points], [row for _, row in points], "o", markersize=5, label=name)
    axes.axvline(1, color="black", linewidth=0.6)
    axes.set_xscale("log")
    words = [f"{name.replace('_', ' ')}, {storage}, {workers}" for name, storage, workers in places]
    axes.set_yticks(range(len(places)), words)
    axes.invert_yaxis()
    axes.set_xlabel("rows a second over those of ours, streamed (1: as quick; right: quicker)")
    _save(figure, file)


def draw_preparations(found: dict[str, Any], file: Path) -> None:
    """Seconds of each preparation, by one process and by two."""
    kinds = [kind for kind in found if kind in prepare.COUNTS]
    figure, axes = _open_figure(3.6)
    bars = [(by, number) for by in (OURS, *prepare.PEERS) for number in prepare.PROCESSES]
    for index, (by, number) in enumerate(bars):
        runs = [prepare.runs_of(found[kind], by, number) for kind in kinds]
        seconds = [statistics.median(run["seconds"] for run in of) if of else 0 for of in runs]
        places = [place + (index - (len(bars) - 1) / 2) * 0.13 for place in range(len(kinds))]
        axes.bar(places, seconds, 0.12, label=f"{by}, {number} process{'' if number == 1 else 'es'}")
    axes.set_xticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.set_ylabel("seconds")
    _save(figure, file)


def _open_figure(height: float) -> tuple[Any, Any]:
    import matplotlib  # pyright: ignore[reportMissingImports]

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "quintet"
    from matplotlib import pyplot  # pyright: ignore[reportMissingImports]

    return pyplot.subplots(figsize=(9, height), layout="constrained")


def _save(figure: Any, file: Path) -> None:
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(file, metadata={"Date": None})
