"""Two workers with one thread each against one worker with one thread, on the same batch over all workers.

python -m benchmarks.workers [--workload flow_matching] [--repeats 3] [--blocks 6]

Samples a second of `train` on Ray. The batch over all workers stays, so that the optimisation is the same; each worker
computes half of it. On a machine with two cores the processes of Ray and of the driver have to share them.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.ladder import build_settings
from benchmarks.results import save_results
from benchmarks.watched import run_module


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", choices=sorted(CASES), default="flow_matching")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    case, runs = CASES[options.workload], {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        case.write_raw(Path(temporary) / "raw")
        for repeat in range(options.repeats):
            for number, of in runs.items():
                changes: dict[str, Any] = {"scaling": {"num_workers": number}}
                settings = build_settings(case, Path(temporary), options.blocks, f"{number}-{repeat}", changes)
                of.append(run_module("benchmarks.full_stack", {"settings": settings}))
    save_results(f"workers_{options.workload}", {str(number): of for number, of in runs.items()})
    steps = {number: statistics.median(block for run in of for block in run["blocks"]) for number, of in runs.items()}
    for number, step in steps.items():
        print(f"{number} worker(s): {1e3 * step:.1f} ms a step, {case.batch_size / step:.0f} samples/s")
    print(f"two workers are {steps[1] / steps[2]:.2f} times as fast as one")


if __name__ == "__main__":
    main()
