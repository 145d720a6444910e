"""Rows a second from Parquet: our feed on Ray, against tensors in memory and against DataLoaders.

python -m benchmarks.feed [--workload flow_matching ...] [--repeats 2]

A row is what a batch holds before augmentation: an image, a pair of patches cut out of one, a window cut out of a clip
(both by the same code for all), a heart cycle. `resident` is our feed for a set that fits the object store, beside one
in memory: batches cut out by one index each, which is the limit, and a DataLoader that collates them of single rows.
`stream` reads every epoch again, beside a DataLoader over the same shards, with the same decoding and the same windows
of shuffling; ours at its best number of read tasks (0: the worker reads by itself), on Ray and without it
(scaling.num_workers=0), theirs at that of processes.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.feed_peers import PARQUET_LOADER, TENSOR_LOADER, TENSORS
from benchmarks.ladder import build_settings
from benchmarks.peers import LOADER_PROCESSES
from benchmarks.results import save_results
from benchmarks.watched import run_module

SIZES = {"flow_matching": 100_000, "super_resolution": 1200, "video_prediction": 3000, "heart_sound_pretrain": 3000}
"""Raw rows or files of each; a quarter of a GB as read, and half as much of heart sounds, which are cut into cycles
anew as they are read."""
STREAMS = {
    "0 read tasks": {"read_tasks": 0},
    "2 read tasks": {"read_tasks": 2},
    "without Ray": {"num_workers": 0},
}
RESIDENT, STREAM = "ours, resident", "ours, stream"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", nargs="+", choices=sorted(SIZES), default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    found = {}
    for name in options.workload:
        found[name] = measure_workload(CASES[name], SIZES[name], options.repeats)
        print(f"{name}: {found[name]}", flush=True)
    save_results("feed", found, keeps_others=True)
    print(format_table(found))


def measure_workload(case: Case, num_raw: int, repeats: int) -> dict[str, float]:
    """Rows a second of every feed, the median of the repeats."""
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        case.write_raw(folder / "raw", num_raw)
        settings = build_settings(case, folder, 1, "feed", {})
        settings["training"]["batch_size"] *= 4
        for _ in range(repeats):
            rates.setdefault(RESIDENT, []).append(_rate_ours(settings, "resident"))
            for name, scaling in STREAMS.items():
                rates.setdefault(f"{STREAM}, {name}", []).append(_rate_ours(settings, "stream", **scaling))
            for name in (TENSORS, TENSOR_LOADER):
                rates.setdefault(name, []).append(_rate("benchmarks.feed_peers", {"settings": settings, "peer": name}))
            for processes in LOADER_PROCESSES:
                arguments = {"settings": settings, "peer": PARQUET_LOADER, "processes": processes}
                name = f"{PARQUET_LOADER}, {processes} processes"
                rates.setdefault(name, []).append(_rate("benchmarks.feed_peers", arguments))
    return {name: statistics.median(of) for name, of in rates.items()}


def _rate_ours(settings: dict[str, Any], feed: str, **scaling: int) -> float:
    changes = {"training": {**settings["training"], "feed": feed}, "scaling": {**settings["scaling"], **scaling}}
    return _rate("benchmarks.feed_ours", {"settings": {**settings, **changes}})


def _rate(module: str, arguments: dict[str, Any]) -> float:
    return run_module(module, arguments)["rows_per_s"]


def format_table(found: dict[str, dict[str, float]]) -> str:
    """Rows a second, and ours over theirs."""
    lines = [
        "| | resident | over rows in memory by index | over their DataLoader | stream | over the best DataLoader |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for workload, rates in found.items():
        stream, theirs = _find_best(rates, STREAM), _find_best(rates, PARQUET_LOADER)
        cells = [
            workload,
            f"{rates[RESIDENT]:,.0f} rows/s",
            f"{rates[RESIDENT] / rates[TENSORS]:.2f}",
            f"{rates[RESIDENT] / rates[TENSOR_LOADER]:.2f}",
            f"{rates[stream]:,.0f} rows/s ({stream.removeprefix(f'{STREAM}, ')})",
            f"{rates[stream] / rates[theirs]:.2f} ({theirs.removeprefix(f'{PARQUET_LOADER}, ')})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _find_best(rates: dict[str, float], name: str) -> str:
    return max((other for other in rates if other.startswith(f"{name}, ")), key=lambda other: rates[other])


if __name__ == "__main__":
    main()
