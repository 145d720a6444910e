"""The ladder: seconds per step of the bare loop (L0) and of the full stack on Ray (L2), in turns, in one run.

python -m benchmarks.ladder [--workload flow_matching] [--repeats 3] [--blocks 6]

L2 is what `train` does: Tune, Ray Train, the feed, rows reduced and reported at every log interval, EMA; evaluation
and saving happen at the end only and are not counted. Blocks are log intervals. The ratio is that of the medians.
Both run with the allocator settings that our workers have.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.synthetic import write_cifar10_like
from ray_jobs.cluster import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
STEPS_PER_BLOCK = 20
BATCH_SIZE = 32
NUM_ROWS = 4000
WORKLOADS: dict[str, dict[str, Any]] = {
    "flow_matching": {
        "network": {"base_channels": 16, "num_groups": 8},
        "pictures": {"num_per_class": 1, "sampling": {"nfe": 1}, "comparisons": []},
        "evaluation": {"num_samples": 64, "sampling": {"nfe": 1, "guidance": 1.0}},
    },
    "pruning": {"arch": "res20s", "pruning_times": 1, "data": {"crop_padding": 4, "horizontal_flip": True}},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", choices=WORKLOADS, default="flow_matching")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        name = options.workload
        write_cifar10_like(folder / "raw", NUM_ROWS)
        bare: list[dict[str, Any]] = []
        full: list[dict[str, Any]] = []
        for repeat in range(options.repeats):
            bare.append(_run_bare(name, folder, options.blocks))
            full.append(_run_full(name, folder, options.blocks, repeat))
            print(f"repeat {repeat + 1}: L0 {_ms(bare[-1])}, L2 {_ms(full[-1])}", flush=True)
        bare.append(_run_bare(name, folder, options.blocks))
    print(format_table(bare, full))


def format_table(bare: list[dict[str, Any]], full: list[dict[str, Any]]) -> str:
    """Median step times over all blocks, their spread, the ratio, exposed data time and peak memory."""
    l0 = [block for run in bare for block in run["blocks"]]
    l2 = [block for run in full for block in run["blocks"]]
    ratio = statistics.median(l0) / statistics.median(l2)
    waits = statistics.fmean(run["data_wait_ratio"] for run in full)
    memory = [max(run["peak_memory_mib"] for run in runs) for runs in (bare, full)]
    return "\n".join(
        [
            "| layer | step, median | quartiles | speed against L0 | peak memory |",
            "| --- | --- | --- | --- | --- |",
            f"| L0 bare loop | {_describe(l0)} | 100 % | {memory[0]:.0f} MiB |",
            f"| L2 full stack on Ray | {_describe(l2)} | {100 * ratio:.1f} % | {memory[1]:.0f} MiB (worker) |",
            "",
            f"exposed data time: {100 * waits:.2f} % of the step",
        ]
    )


def _describe(blocks: list[float]) -> str:
    low, middle, high = statistics.quantiles(blocks, n=4)
    return f"{1e3 * middle:.1f} ms | {1e3 * low:.1f} to {1e3 * high:.1f} ms"


def _ms(run: dict[str, Any]) -> str:
    return f"{1e3 * statistics.median(run['blocks']):.1f} ms"


def _settings(name: str, folder: Path, num_blocks: int, repeat: int) -> dict[str, Any]:
    return {
        "workload": {"name": name, **_with_data(WORKLOADS[name], folder / "raw")},
        "training": {
            "max_steps": (num_blocks + 1) * STEPS_PER_BLOCK,
            "batch_size": BATCH_SIZE,
            "clip_norm": 1.0,
            "ema": {},
            "log_every_steps": STEPS_PER_BLOCK,
            "evaluate_every": None,
            "pictures_every": None,
            "checkpoint_every": None,
        },
        "scaling": {"num_workers": 1, "threads_per_worker": 1},
        "storage": {"path": str(folder / "out")},
        "tracking": {"run_name": f"ladder-{repeat}"},
    }


def _with_data(workload: dict[str, Any], raw: Path) -> dict[str, Any]:
    return {**workload, "data": {"source": "cifar10", "path": str(raw), **workload.get("data", {})}}


def _run_bare(name: str, folder: Path, num_blocks: int) -> dict[str, Any]:
    arguments = {
        "settings": _settings(name, folder, num_blocks, 0),
        "num_blocks": num_blocks,
        "steps_per_block": STEPS_PER_BLOCK,
        "num_threads": 1,
    }
    return _run("benchmarks.bare_loop", folder, arguments)


def _run_full(name: str, folder: Path, num_blocks: int, repeat: int) -> dict[str, Any]:
    return _run("benchmarks.full_stack", folder, _settings(name, folder, num_blocks, repeat))


def _run(module: str, folder: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own, so that nothing of one measurement is alive in the next."""
    file = folder / "arguments.json"
    file.write_text(json.dumps(arguments))
    command = [sys.executable, "-m", module, str(file)]
    # the same allocator settings for both, or L0 would be no limit
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **SETTINGS}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
