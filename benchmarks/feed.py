"""Rows a second from Parquet: our feed on Ray, against tensors in memory and against DataLoaders.

python -m benchmarks.feed [--workload flow_matching ...] [--repeats 3]

A row is what a batch holds before augmentation, which is the same code for all: an image, a pair of images that
patches are cut from, a clip that a window is cut from, a heart cycle. `resident` is our feed for a set that fits the
object store, beside a TensorDataset: batches cut out by one index each, which is the limit, and by its DataLoader.
`stream` reads every epoch again, beside a DataLoader over the same shards, with the same decoding and the same windows
of shuffling, at its best number of processes.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.feed_peers import PARQUET_LOADER, TENSOR_LOADER, TENSORS
from benchmarks.ladder import build_settings
from benchmarks.results import save_results
from benchmarks.watched import run_module

LOADER_PROCESSES = (0, 1, 2)
SIZES = {"flow_matching": 100_000, "super_resolution": 1200, "video_prediction": 3000, "heart_sound_pretrain": 300}
"""Raw rows or files of each; a quarter of a GB, but for the heart sounds, which are cut into cycles anew as they are
read."""
RESIDENT, STREAM = "ours, resident", "ours, stream"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", nargs="+", choices=sorted(SIZES), default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    found = {}
    for name in options.workload:
        found[name] = measure_workload(CASES[name], SIZES[name], options.repeats)
        print(f"{name}: {found[name]}", flush=True)
    save_results("feed", found)
    print(format_table(found))


def measure_workload(case: Case, num_raw: int, repeats: int) -> dict[str, float]:
    """Rows a second of every feed, the median of the repeats; of loaders the best."""
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        case.write_raw(folder / "raw", num_raw)
        settings = build_settings(case, folder, 1, "feed", {})
        settings["training"]["batch_size"] *= 4
        for _ in range(repeats):
            for name, feed in ((RESIDENT, "resident"), (STREAM, "stream")):
                of_ours = {**settings, "training": {**settings["training"], "feed": feed}}
                rates.setdefault(name, []).append(_rate("benchmarks.feed_ours", {"settings": of_ours}))
            for name in (TENSORS, TENSOR_LOADER):
                rates.setdefault(name, []).append(_rate("benchmarks.feed_peers", {"settings": settings, "peer": name}))
            for processes in LOADER_PROCESSES:
                arguments = {"settings": settings, "peer": PARQUET_LOADER, "processes": processes}
                name = f"{PARQUET_LOADER}, {processes} processes"
                rates.setdefault(name, []).append(_rate("benchmarks.feed_peers", arguments))
    medians = {name: statistics.median(of) for name, of in rates.items()}
    loaders = [name for name in medians if name.startswith(PARQUET_LOADER)]
    best = max(loaders, key=lambda name: medians[name])
    return {**{name: rate for name, rate in medians.items() if name not in loaders}, best: medians[best]}


def _rate(module: str, arguments: dict[str, Any]) -> float:
    return run_module(module, arguments)["rows_per_s"]


def format_table(found: dict[str, dict[str, float]]) -> str:
    """Rows a second, and ours over theirs."""
    lines = [
        "| | resident | of the limit | over TensorDataset's DataLoader | stream | over the best DataLoader |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for workload, rates in found.items():
        [(loader, theirs)] = [(name, rate) for name, rate in rates.items() if name.startswith(PARQUET_LOADER)]
        cells = [
            workload,
            f"{rates[RESIDENT]:,.0f} rows/s",
            f"{100 * rates[RESIDENT] / rates[TENSORS]:.0f} %",
            f"{rates[RESIDENT] / rates[TENSOR_LOADER]:.2f}",
            f"{rates[STREAM]:,.0f} rows/s",
            f"{rates[STREAM] / theirs:.2f} ({loader.rpartition(', ')[2]})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
