"""The same work by what users would pick instead: plain PyTorch, Lightning with its W&B logger, Ray's stock pattern.

python -m benchmarks.peers [--workload flow_matching ...] [--repeats 4] [--blocks 6]

The same network, loss, optimiser, clipping and EMA on the same images, one thread, W&B offline where there is W&B.
All peers feed by a DataLoader; the first repeat tries each number of loader processes, and the quickest is measured in
the others, which alone count: the best of three tries against one of ours would be no comparison. Ours is `train` on
Ray: without W&B against plain PyTorch, with it and a row for every step against the others. Lightning logs every step
too, Ray's pattern one result every 20 steps. Needs `pip install quintet[bench]`.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.ladder import STEPS_PER_BLOCK, TRACKED, build_settings, step_s
from benchmarks.results import save_results
from benchmarks.watched import run_module

PEERS = {"plain PyTorch": "ours", "Lightning": "ours with W&B", "Ray's stock pattern": "ours with W&B"}
"""What each is compared with."""
OURS: dict[str, dict[str, Any]] = {"ours": {}, "ours with W&B": TRACKED}
LOADER_PROCESSES = (0, 1, 2)
WORKLOADS = {
    "flow_matching": (CASES["flow_matching"], 1),
    "pruning": (CASES["pruning"], 1),
    "pruning_small_steps": (replace(CASES["pruning"], batch_size=4), 5),
}
"""Each, and how many times as many blocks it takes to train for as long as the others."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    if options.repeats < 2:
        parser.error("--repeats must be at least 2: the first only chooses the loader processes")
    for name in options.workload:
        case, factor = WORKLOADS[name]
        runs = measure_workload(case, options.repeats, options.blocks * factor)
        save_results(f"peers_{name}", runs)
        print(f"\n{name}\n\n{format_table(runs)}\n", flush=True)


def measure_workload(case: Case, repeats: int, num_blocks: int) -> dict[str, list[dict[str, Any]]]:
    """What was measured of ours and of each peer, once for each repeat; the first chooses the loader processes."""
    runs: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        case.write_raw(folder / "raw", case.num_raw)
        settings = build_settings(case, folder, num_blocks, "peer", {})
        sizes = {"num_blocks": num_blocks, "steps_per_block": STEPS_PER_BLOCK}

        def measure_peer(peer: str, processes: int) -> dict[str, Any]:
            arguments = {"peer": peer, "settings": settings, "loader_processes": processes, **sizes}
            return {**run_module("benchmarks.peer", arguments), "loader_processes": processes}

        tried = {peer: [measure_peer(peer, processes) for processes in LOADER_PROCESSES] for peer in PEERS}
        chosen = {peer: min(of, key=lambda run: step_s([run]))["loader_processes"] for peer, of in tried.items()}
        for repeat in range(1, repeats):
            for name, changes in OURS.items():
                ours = build_settings(case, folder, num_blocks, f"{name.replace(' ', '-')}-{repeat}", changes)
                runs.setdefault(name, []).append(run_module("benchmarks.full_stack", {"settings": ours}))
            for peer, processes in chosen.items():
                runs.setdefault(peer, []).append(measure_peer(peer, processes))
    return runs


def format_table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Median step times, and how much faster ours is."""
    lines = ["| | step, median | loader processes | steps a second, ours over theirs |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {1e3 * step_s(runs[name]):.1f} ms | | |" for name in OURS]
    for peer, ours in PEERS.items():
        theirs, processes = step_s(runs[peer]), runs[peer][0]["loader_processes"]
        lines.append(f"| {peer} | {1e3 * theirs:.1f} ms | {processes} | {theirs / step_s(runs[ours]):.2f} ({ours}) |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
