"""Two workers with one thread each against one worker with one thread, on the same batch over all workers.

python -m benchmarks.workers [--workload super_resolution ...] [--repeats 3] [--blocks 24]

Samples a second of `train` on Ray, at four times the ladder's batch, so that a step takes some tenths of a second, for
half a minute or more, as Ray goes on starting processes of its own for some seconds after a training has begun. The
batch over all workers stays, so that the optimisation is the same; each worker computes half of it. Beside it the bare
loop, without data path, reports and record: in the workers of a plain TorchTrainer, and in one process and in two under
torch's DistributedDataParallel, without Ray. On a machine with two cores the two workers have to share them with all of
Ray's own processes, and wait for each other whenever one of them has to.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.cases import CASES, Case
from benchmarks.ladder import build_settings
from benchmarks.results import save_results
from benchmarks.watched import run_module

BATCH_FACTOR = 4
STEPS_PER_BLOCK = 5


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", nargs="+", choices=sorted(CASES), default=["super_resolution"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=24)
    options = parser.parse_args()
    found = {name: measure_workload(CASES[name], options.repeats, options.blocks) for name in options.workload}
    save_results("workers", found, keeps_others=True)
    print(format_table(found))


def measure_workload(case: Case, repeats: int, num_blocks: int) -> dict[str, float]:
    """Median seconds per step of each way."""
    blocks: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        case.write_raw(Path(temporary) / "raw", case.num_raw)
        for repeat in range(repeats):
            for number in (1, 2):
                training = {
                    "batch_size": BATCH_FACTOR * case.batch_size,
                    "log_every_steps": STEPS_PER_BLOCK,
                    "max_steps": (num_blocks + 1) * STEPS_PER_BLOCK,
                }
                changes = {"scaling": {"num_workers": number}, "training": training}
                settings = build_settings(case, Path(temporary), num_blocks, f"{number}-{repeat}", changes)
                arguments = {"num_blocks": num_blocks, "steps_per_block": STEPS_PER_BLOCK, "settings": settings}
                bare = run_module("benchmarks.bare_loop" if number == 1 else "benchmarks.bare_ddp", arguments)
                blocks.setdefault(f"bare {number}", []).extend(bare["blocks"])
                on_ray = run_module("benchmarks.ray_ddp", {"num_workers": number, **arguments})
                blocks.setdefault(f"Ray {number}", []).extend(on_ray["blocks"])
                ours = run_module("benchmarks.full_stack", {"settings": settings})
                blocks.setdefault(f"ours {number}", []).extend(ours["blocks"])
    return {way: statistics.median(of) for way, of in blocks.items()}


def format_table(found: dict[str, dict[str, float]]) -> str:
    """Samples a second of all, and the ratios."""
    lines = [
        "| | ours, 1 worker | 2 | 2 over 1 | TorchTrainer, 1 | 2 | 2 over 1 | DDP without Ray, 1 | 2 | 2 over 1 |",
        "|" + " --- |" * 10,
    ]
    for name, steps in found.items():
        cells = []
        for way in ("ours", "Ray", "bare"):
            one, two = steps[f"{way} 1"], steps[f"{way} 2"]
            size = BATCH_FACTOR * CASES[name].batch_size
            cells += [f"{size / one:.0f} samples/s", f"{size / two:.0f} samples/s", f"{one / two:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
