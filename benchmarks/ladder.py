"""The ladder: what each layer of the stack adds to the bare step. All layers in turns, in one run.

python -m benchmarks.ladder [--workload flow_matching ...] [--layers L0 L2] [--repeats 3] [--blocks 6]

A block is a log interval. Rows are reduced and reported at every log interval, and an EMA is kept, in every layer;
evaluation happens at the end only and is not counted. Ratios are those of the medians over all blocks, of the quickest
tenth of them (`at its quickest`: what else a machine does makes steps slower and never quicker), and of the whole time
from the first report to the last (`with all between`), which holds the writing of checkpoints too. The time to the
first step is a median as well; the first run of all also prepares the data.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.results import save_results
from benchmarks.watched import run_module

STEPS_PER_BLOCK = 20
TRACKED = {"tracking": {"wandb": True, "mode": "offline"}}
SAVING = {"training": {"checkpoint_every": f"{2 * STEPS_PER_BLOCK} steps"}}
SEARCH = {"search": {"space": {"training.optimizer.learning_rate": [2e-4]}}}
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "L0": ("bare loop on one batch in memory", {}),
    "L1": ("our engine and feed, one process", {"scaling": {"num_workers": 0}}),
    "L2": ("`train` on Ray", {}),
    "L3": ("with W&B offline, a row per step", TRACKED),
    "L4": ("with a checkpoint every 40 steps", {**TRACKED, **SAVING}),
    "L5": ("as a trial of a search", {**TRACKED, **SAVING, **SEARCH}),
}
MINIMAL = {
    "minimal": "a minimal TorchTrainer",
    "tuned": "a minimal TorchTrainer in a trial of a Tuner",
    "fed": "the same with a dataset of Ray Data",
}
"""What does nothing else, for the time to the first step and the memory."""


def main() -> None:
    """Print a table for each workload, and keep the figures."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", nargs="+", choices=sorted(CASES), default=sorted(CASES))
    parser.add_argument("--layers", nargs="+", choices=[*LAYERS, *MINIMAL], default=[*LAYERS, *MINIMAL])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=6)
    options = parser.parse_args()
    for name in options.workload:
        runs = climb(CASES[name], options.layers, options.repeats, options.blocks)
        save_results(f"ladder_{name}", runs)
        print(f"\n{name}\n\n{format_table(runs)}\n", flush=True)


def climb(
    case: Case, layers: list[str], repeats: int, num_blocks: int, training: dict[str, Any] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """What was measured of each layer, once for each repeat; `training` changes settings of that section."""
    runs: dict[str, list[dict[str, Any]]] = {layer: [] for layer in layers}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        case.write_raw(folder / "raw", case.num_raw)
        for repeat in range(repeats):
            for layer, of in runs.items():
                settings = build_settings(case, folder, num_blocks, f"{layer}-{repeat}", LAYERS.get(layer, ("", {}))[1])
                settings["training"] |= training or {}
                of.append(_run(layer, settings, num_blocks))
            words = [f"{layer} {1e3 * step_s(of[-1:]):.1f} ms" for layer, of in runs.items() if of[-1].get("blocks")]
            print(f"repeat {repeat + 1}: {', '.join(words)}", flush=True)
    return runs


def _run(layer: str, settings: dict[str, Any], num_blocks: int) -> dict[str, Any]:
    if layer in MINIMAL:
        kind = {"is_tuned": layer != "minimal", "is_fed": layer == "fed"}
        arguments = {"settings": settings, "steps_per_block": STEPS_PER_BLOCK, **kind}
        return run_module("benchmarks.minimal_trainer", arguments)
    if layer == "L0":
        sizes = {"num_blocks": num_blocks, "steps_per_block": STEPS_PER_BLOCK}
        return run_module("benchmarks.bare_loop", {"settings": settings, **sizes})
    return run_module("benchmarks.full_stack", {"settings": settings})


def build_settings(case: Case, folder: Path, num_blocks: int, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
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
        "tracking": {"run_name": name},
    }
    for section, values in changes.items():
        settings[section] = {**settings.get(section, {}), **values}
    return settings


def blocks_of(runs: list[dict[str, Any]]) -> list[float]:
    """Seconds per step of every block of all runs."""
    return [block for run in runs for block in run["blocks"]]


def step_s(runs: list[dict[str, Any]]) -> float:
    """The median of all blocks."""
    return statistics.median(blocks_of(runs))


def quick_step_s(runs: list[dict[str, Any]]) -> float:
    """Where the quickest tenth of all blocks ends."""
    return statistics.quantiles(blocks_of(runs), n=10, method="inclusive")[0]


def first_step_s(runs: list[dict[str, Any]]) -> float:
    """The median; the first run of all prepares the data as well."""
    return statistics.median(run["first_s"] for run in runs)


def format_table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Median step times over all blocks, quartiles, ratios to L0, memory of all processes, time to the first step."""
    stepping = {layer: of for layer, of in runs.items() if layer in LAYERS}
    first = next(iter(stepping))
    lines = [
        f"| layer | step, median | quartiles | speed against {first} | at its quickest | with all between | memory "
        "| first step after |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for layer, of in stepping.items():
        low, middle, high = statistics.quantiles(blocks_of(of), n=4)
        step = 100 * step_s(stepping[first]) / middle
        quickest = 100 * quick_step_s(stepping[first]) / quick_step_s(of)
        wall = 100 * _mean(stepping[first], "wall_step_s") / _mean(of, "wall_step_s")
        cells = [
            f"{layer}: {LAYERS[layer][0]}",
            f"{1e3 * middle:.1f} ms",
            f"{1e3 * low:.1f} to {1e3 * high:.1f} ms",
            f"{step:.1f} %",
            f"{quickest:.1f} %",
            f"{wall:.1f} %",
            f"{max(run['peak_mib'] for run in of):,.0f} MiB",
            f"{first_step_s(of):.1f} s",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [""] + [
        f"{MINIMAL[layer]}: first step after {first_step_s(of):.1f} s, {max(run['peak_mib'] for run in of):,.0f} MiB"
        for layer, of in runs.items()
        if layer in MINIMAL
    ]
    waits = [f"{layer} {100 * _mean(of, 'data_wait_ratio'):.2f} %" for layer, of in stepping.items() if layer != "L0"]
    return "\n".join([*lines, f"share of the step that waits for data: {', '.join(waits)}"])


def _mean(runs: list[dict[str, Any]], key: str) -> float:
    return statistics.fmean(run[key] for run in runs)


if __name__ == "__main__":
    main()
