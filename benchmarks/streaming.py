"""Memory of streaming: a set of half the object store against one of ten times it, in one run.

python -m benchmarks.streaming [--store-mib 80]

Watches the private memory of every process of the run and the object store's pages, five times a second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.synthetic import ROW_BYTES, write_cifar10_like
from ray_jobs.experiment import check_settings

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZE = 2000
INTERVAL_S = 0.2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--store-mib", type=int, default=80)
    options = parser.parse_args()
    results = {}
    for share in (0.5, 10.0):
        num_rows = int(share * options.store_mib * 2**20 / ROW_BYTES) // 5 * 5
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
            write_cifar10_like(Path(temporary, "raw"), num_rows)
            results[share] = {"rows": num_rows, **_run(Path(temporary), options.store_mib)}
            print(f"{share:g} x the object store: {results[share]}", flush=True)
    small, large = results[0.5], results[10.0]
    print("| set | rows | peak memory of all processes | rows/s |\n| --- | --- | --- | --- |")
    for share, result in results.items():
        print(f"| {share:g} x store | {result['rows']:,} | {result['peak_mib']:.0f} MiB | {result['rows_per_s']:.0f} |")
    print(f"\npeak memory of the large set over the small one: {large['peak_mib'] / small['peak_mib']:.2f}")


def _run(folder: Path, store_mib: int) -> dict[str, Any]:
    """Train one epoch in a process of its own and watch its memory, from the first step on to the last."""
    settings = {
        "workload": {
            "name": "flow_matching",
            "data": {"source": "cifar10", "path": str(folder / "raw")},
            "network": {"base_channels": 8, "channel_multipliers": [1, 1, 1, 1], "num_res_blocks": 1, "num_groups": 4},
            "pictures": {"num_per_class": 1, "sampling": {"nfe": 1}, "comparisons": []},
            "evaluation": {"num_samples": 64, "sampling": {"nfe": 1, "guidance": 1.0}},
        },
        "training": {
            **{"epochs": 1, "batch_size": BATCH_SIZE, "feed": "stream", "log_every_steps": 2, "accumulate": 10},
            **{"evaluate_every": None, "pictures_every": None, "checkpoint_every": None},
        },
        "scaling": {"num_workers": 1, "threads_per_worker": 1},
        "storage": {"path": str(folder / "out")},
        "tracking": {"run_name": "streaming"},
    }
    experiment = check_settings(settings, origin="benchmark")
    file = folder / "arguments.json"
    file.write_text(json.dumps({"settings": settings, "store_bytes": store_mib * 2**20}))
    command = [sys.executable, "-m", "benchmarks.streamed_training", str(file)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ))
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, _memory_mib(process.pid))
            time.sleep(INTERVAL_S)
    if process.returncode:
        raise RuntimeError(f"the training failed:\n{(folder / 'log').read_text()[-2000:]}")
    speed = json.loads((folder / "log").read_text().splitlines()[-1])
    assert experiment.folder.exists("final_metrics.json")
    return {"peak_mib": peak, **speed}


def _memory_mib(pid: int) -> float:
    """Private memory of all processes, and the shared memory of the one that shares most: the object store's pages."""
    total = shared = 0
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                memory = process.memory_info()
                total += memory.rss - memory.shared
                shared = max(shared, memory.shared)
    return (total + shared) / 2**20


if __name__ == "__main__":
    main()
