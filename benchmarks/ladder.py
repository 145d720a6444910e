"""The ladder: seconds per step of the bare loop (L0), of the full stack on Ray (L2), and of that with W&B (L3).

All in turns, in one run.

python -m benchmarks.ladder [--workload flow_matching] [--repeats 3] [--blocks 6]

L2 is what `train` does: Tune, Ray Train, the feed, rows reduced and reported at every log interval, EMA; evaluation
and saving happen at the end only and are not counted. L3 is the same with W&B offline and a row for every step. Blocks
are log intervals. Ratios are those of the medians.
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

from benchmarks.cases import CASES, Case
from ray_jobs.cluster import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
STEPS_PER_BLOCK = 20


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", choices=sorted(CASES), default="flow_matching")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    case = CASES[options.workload]
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        case.write_raw(folder / "raw")
        runs: dict[str, list[dict[str, Any]]] = {
            "L0 bare loop": [],
            "L2 full stack on Ray": [],
            "L3 with W&B offline": [],
        }
        bare, full, tracked = runs.values()
        for repeat in range(options.repeats):
            bare.append(_run_bare(case, folder, options.blocks))
            full.append(_run_full(case, folder, options.blocks, repeat))
            tracked.append(_run_full(case, folder, options.blocks, repeat, wandb=True, mode="offline"))
            print(
                f"repeat {repeat + 1}: {', '.join(f'{name[:2]} {_ms(of[-1])}' for name, of in runs.items())}",
                flush=True,
            )
        bare.append(_run_bare(case, folder, options.blocks))
    print(format_table(runs))


def format_table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Median step times over all blocks, their spread, the ratios, exposed data time and peak memory."""
    blocks = {name: [block for run in of for block in run["blocks"]] for name, of in runs.items()}
    medians = {name: statistics.median(of) for name, of in blocks.items()}
    first, full, tracked = medians
    lines = ["| layer | step, median | quartiles | speed against L0 | peak memory |", "| --- | --- | --- | --- | --- |"]
    for name, of in blocks.items():
        memory = max(run["peak_memory_mib"] for run in runs[name])
        ratio = 100 * medians[first] / medians[name]
        lines.append(f"| {name} | {_describe(of)} | {ratio:.1f} % | {memory:.0f} MiB |")
    waits = statistics.fmean(run["data_wait_ratio"] for run in runs[full])
    against_full = 100 * medians[full] / medians[tracked]
    lines += ["", f"exposed data time: {100 * waits:.2f} % of the step; L3 against L2: {against_full:.1f} %"]
    return "\n".join(lines)


def _describe(blocks: list[float]) -> str:
    low, middle, high = statistics.quantiles(blocks, n=4)
    return f"{1e3 * middle:.1f} ms | {1e3 * low:.1f} to {1e3 * high:.1f} ms"


def _ms(run: dict[str, Any]) -> str:
    return f"{1e3 * statistics.median(run['blocks']):.1f} ms"


def _settings(case: Case, folder: Path, num_blocks: int, repeat: int, **tracking: Any) -> dict[str, Any]:
    return {
        "workload": {**case.workload, "data": {**case.workload["data"], case.path_key: str(folder / "raw")}},
        "training": {
            "max_steps": (num_blocks + 1) * STEPS_PER_BLOCK,
            "batch_size": case.batch_size,
            "clip_norm": 1.0,
            "ema": {},
            "log_every_steps": STEPS_PER_BLOCK,
            "evaluate_every": None,
            "pictures_every": None,
            "checkpoint_every": None,
        },
        "scaling": {"num_workers": 1, "threads_per_worker": 1},
        "storage": {"path": str(folder / "out")},
        "tracking": {"run_name": f"ladder-{repeat}-{'tracked' if tracking else 'plain'}", **tracking},
    }


def _run_bare(case: Case, folder: Path, num_blocks: int) -> dict[str, Any]:
    arguments = {
        "settings": _settings(case, folder, num_blocks, 0),
        "num_blocks": num_blocks,
        "steps_per_block": STEPS_PER_BLOCK,
        "num_threads": 1,
    }
    return _run("benchmarks.bare_loop", folder, arguments)


def _run_full(case: Case, folder: Path, num_blocks: int, repeat: int, **tracking: Any) -> dict[str, Any]:
    return _run("benchmarks.full_stack", folder, _settings(case, folder, num_blocks, repeat, **tracking))


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
