"""Streaming a set that the object store cannot hold: memory and time per row as the set grows tenfold, in one run.

python -m benchmarks.streaming [--store-mib 160]

A Ray Train worker takes every batch from the feed and trains nothing, so that the data path is as busy as it can be.
The smallest set is as large as the object store, the largest ten times as large. Watches the memory of every process of
the run, in which each page counts once; the set is prepared before, in a process of its own, as its memory follows the
size of the largest raw file.
"""

import argparse
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.feed.ours import plan_of
from benchmarks.results import save_results
from benchmarks.synthetic import ROW_BYTES, write_cifar10_like
from benchmarks.watched import pss_mib, run_module
from ray_jobs.settings.experiment import check_settings

BATCH_SIZE = 256
LARGEST = 10.0
"""Times the object store."""
GROWTH = (1, 3, 10)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--store-mib", type=int, default=160)
    options = parser.parse_args()
    results = {}
    for factor in GROWTH:
        share = LARGEST * factor / GROWTH[-1]
        num_rows = int(share * options.store_mib * 2**20 / ROW_BYTES) // 5 * 5
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
            write_cifar10_like(Path(temporary, "raw"), num_rows)
            results[f"{share:g} x the object store"] = _run(Path(temporary), options.store_mib)
        print(f"{share:g} x the object store: done", flush=True)
    save_results("streaming", results)
    print(format_table(results))


def format_table(results: dict[str, dict[str, float]]) -> str:
    """Memory and time per row, and both against the smallest set."""
    small = next(iter(results.values()))
    lines = ["| set | rows | peak memory of all processes | against the first | time per row | against the first |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, result in results.items():
        memory, rate = result["peak_mib"], result["rows_per_s"]
        cells = [name, f"{result['rows']:,}", f"{memory:,.0f} MiB", f"{memory / small['peak_mib']:.2f}"]
        cells += [f"{1e6 / rate:.1f} us", f"{small['rows_per_s'] / rate:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _run(folder: Path, store_mib: int) -> dict[str, Any]:
    """In a process of its own; its memory is watched from start to end."""
    settings = {
        "workload": {"name": "flow_matching", "data": {"source": "cifar10", "path": str(folder / "raw")}},
        "training": {"epochs": 1, "batch_size": BATCH_SIZE, "feed": "stream"},
        "storage": {"path": str(folder / "out")},
    }
    preparing = multiprocessing.get_context("spawn").Process(target=_prepare, args=(settings,))
    preparing.start()
    preparing.join()
    assert preparing.exitcode == 0, "the set could not be prepared"
    return run_module("benchmarks.feed.ours", {"settings": settings, "store_bytes": store_mib * 2**20}, memory=pss_mib)


def _prepare(settings: dict[str, Any]) -> None:
    plan_of(check_settings(settings, origin="benchmark"))


if __name__ == "__main__":
    main()
