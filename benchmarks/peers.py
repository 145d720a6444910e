"""The same work by what users would pick instead: plain PyTorch, Lightning with its W&B logger, Ray's stock pattern.

python -m benchmarks.peers [--workload flow_matching ...] [--repeats 3] [--blocks 6]

The same network, loss, optimiser, clipping and EMA on the same images, one thread, W&B offline where there is W&B.
All peers feed by a DataLoader; each number of loader processes is tried, and the quickest counts. Ours is `train` on
Ray: without W&B against plain PyTorch, with it and a row for every step against the others. Lightning logs every step
too, Ray's pattern one result every 20 steps. Needs `pip install quintet[bench]`.
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.ladder import STEPS_PER_BLOCK, TRACKED, build_settings
from benchmarks.results import save_results
from benchmarks.watched import run_module

PEERS = {"plain PyTorch": "ours", "Lightning": "ours with W&B", "Ray's stock pattern": "ours with W&B"}
"""What each is compared with."""
OURS: dict[str, dict[str, Any]] = {"ours": {}, "ours with W&B": TRACKED}
LOADER_PROCESSES = (0, 1, 2)
WORKLOADS = {
    "flow_matching": CASES["flow_matching"],
    "pruning": CASES["pruning"],
    "pruning_small_steps": replace(CASES["pruning"], batch_size=4),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    for name in options.workload:
        runs = measure_workload(WORKLOADS[name], options.repeats, options.blocks)
        save_results(f"peers_{name}", runs)
        print(f"\n{name}\n\n{format_table(runs)}\n", flush=True)


def measure_workload(case: Case, repeats: int, num_blocks: int) -> dict[str, list[dict[str, Any]]]:
    """What was measured of ours and of each peer with each number of loader processes, once for each repeat."""
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        case.write_raw(folder / "raw", case.num_raw)
        for repeat in range(repeats):
            for name, changes in OURS.items():
                settings = build_settings(case, folder, num_blocks, f"{name.replace(' ', '-')}-{repeat}", changes)
                runs.setdefault(name, []).append(run_module("benchmarks.full_stack", {"settings": settings}))
            settings = build_settings(case, folder, num_blocks, "peer", {})
            sizes = {"num_blocks": num_blocks, "steps_per_block": STEPS_PER_BLOCK}
            for name in PEERS:
                for processes in LOADER_PROCESSES:
                    arguments = {"peer": name, "settings": settings, "loader_processes": processes, **sizes}
                    runs.setdefault(f"{name}, {processes}", []).append(run_module("benchmarks.peer", arguments))
    return runs


def format_table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Median step times; for each peer that of its best number of loader processes, and how much faster ours is."""
    medians = {name: statistics.median(block for run in of for block in run["blocks"]) for name, of in runs.items()}
    lines = ["| | step, median | loader processes | steps a second, ours over theirs |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {1e3 * medians[name]:.1f} ms | | |" for name in OURS]
    for peer, ours in PEERS.items():
        best = min(LOADER_PROCESSES, key=lambda processes: medians[f"{peer}, {processes}"])
        theirs = medians[f"{peer}, {best}"]
        lines.append(f"| {peer} | {1e3 * theirs:.1f} ms | {best} | {theirs / medians[ours]:.2f} ({ours}) |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
