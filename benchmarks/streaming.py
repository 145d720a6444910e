"""Memory of streaming: a set of half the object store against one of ten times it, in one run.

python -m benchmarks.streaming [--store-mib 160]

A Ray Train worker takes every batch of two epochs from the feed and trains nothing, so that the data path is as busy
as it can be. Watches the private memory of every process of the run and the object store's pages, five times a second.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.synthetic import ROW_BYTES, write_cifar10_like
from benchmarks.watched import run_module

BATCH_SIZE = 256


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--store-mib", type=int, default=160)
    options = parser.parse_args()
    results = {}
    for share in (0.5, 10.0):
        num_rows = int(share * options.store_mib * 2**20 / ROW_BYTES) // 5 * 5
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
            write_cifar10_like(Path(temporary, "raw"), num_rows)
            results[share] = {"set_rows": num_rows, **_run(Path(temporary), options.store_mib)}
            print(f"{share:g} x the object store: {results[share]}", flush=True)
    small, large = results[0.5], results[10.0]
    print("| set | rows | peak memory of all processes | rows/s |\n| --- | --- | --- | --- |")
    for share, result in results.items():
        cells = (f"{share:g} x store", f"{result['set_rows']:,}", f"{result['peak_mib']:.0f} MiB")
        print(f"| {' | '.join(cells)} | {result['rows_per_s']:.0f} |")
    print(f"\npeak memory of the large set over the small one: {large['peak_mib'] / small['peak_mib']:.2f}")


def _run(folder: Path, store_mib: int) -> dict[str, Any]:
    """Two epochs in a process of its own; its memory is watched from start to end."""
    settings = {
        "workload": {"name": "flow_matching", "data": {"source": "cifar10", "path": str(folder / "raw")}},
        "training": {"epochs": 1, "batch_size": BATCH_SIZE, "feed": "stream"},
        "storage": {"path": str(folder / "out")},
    }
    return run_module("benchmarks.streamed_ingest", {"settings": settings, "store_bytes": store_mib * 2**20})


if __name__ == "__main__":
    main()
