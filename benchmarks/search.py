"""What a search costs: 16 one-worker trials under `sweep`, against their pure training with as many at a time.

python -m benchmarks.search [--trials 16] [--epochs 12]

Pure training is the engine alone, in processes that have imported everything and hold no Ray: two of them, as the
search has room for two trials. Both in one run, with the allocator settings that our workers have.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import save_results
from ray_jobs.cluster.connection import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
CONCURRENCY = 2


def main() -> None:
    """Print the result."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--part", choices=("search", "pure"))
    parser.add_argument("--settings", help="used by the benchmark itself")
    parser.add_argument("--numbers", help="used by the benchmark itself")
    options = parser.parse_args()
    if options.part:
        part = {"search": _search, "pure": _pure}[options.part]
        print(json.dumps(part(json.loads(options.settings), json.loads(options.numbers))))
        return
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        settings, numbers = _settings(Path(temporary), options), list(range(options.trials))
        (searched,) = _run([("search", settings, numbers)])
        pure = _run([("pure", settings, numbers[first::CONCURRENCY]) for first in range(CONCURRENCY)])
    found = {
        "trials": options.trials,
        "pure_s": sum(each["trained_s"] for each in pure) / CONCURRENCY,
        "search_s": searched["search_s"],
    }
    save_results("search", found)
    print(format_table(found))


def format_table(found: dict[str, float]) -> str:
    """Seconds of both, and what the search adds."""
    trials, pure_s, search_s = found["trials"], found["pure_s"], found["search_s"]
    each = pure_s * CONCURRENCY / trials
    return "\n".join(
        [
            "| trials | pure training, two at a time | the search | overhead |",
            "| --- | --- | --- | --- |",
            f"| {trials} of {each:.1f} s | {pure_s:.1f} s | {search_s:.1f} s | {search_s / pure_s - 1:+.1%} |",
        ]
    )


def _settings(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    rates = [round(1e-4 * (number + 1), 6) for number in range(options.trials)]
    return {
        "workload": {
            "name": "flow_matching",
            "network": {"base_channels": 16, "channel_multipliers": [1, 2], "num_groups": 8, "dropout": 0.0},
            "pictures": {"num_per_class": 1, "sampling": {"nfe": 2}, "comparisons": []},
            "evaluation": {"num_samples": 64, "sampling": {"nfe": 2, "guidance": 1.0}},
        },
        "training": {
            "epochs": options.epochs,
            "batch_size": 64,
            "log_every_steps": 22,
            "evaluate_every": "4 epochs",
            "pictures_every": None,
        },
        "scaling": {"num_workers": 1, "threads_per_worker": 1},
        "storage": {"path": str(folder)},
        "search": {"space": {"training.optimizer.learning_rate": rates}},
    }


def _search(settings: dict[str, Any], numbers: list[int]) -> dict[str, float]:
    from ray_jobs.cluster.connection import connect
    from ray_jobs.runs.planning import prepare_data
    from ray_jobs.search.sweep import sweep
    from ray_jobs.search.sweep_plan import build_sweep_plan
    from ray_jobs.settings.experiment import check_settings

    setup = build_sweep_plan(check_settings(settings, origin="benchmark"), "benchmark")
    prepare_data(setup.experiment)
    connect()
    began = time.perf_counter()
    result = sweep(setup)
    assert result["finished"] == len(numbers), result
    return {"search_s": time.perf_counter() - began}


def _pure(settings: dict[str, Any], numbers: list[int]) -> dict[str, float]:
    from ray_jobs.runs.planning import build_plan
    from ray_jobs.settings.experiment import check_settings
    from trainables.engine.loop.loop import run_training
    from trainables.ray_train.worker_main import run_locally

    rates = settings["search"]["space"]["training.optimizer.learning_rate"]
    settings = {**settings, "search": None, "scaling": {"num_workers": 0, "threads_per_worker": 1}}
    experiment = check_settings(settings, origin="benchmark")
    trained = 0.0
    for number in numbers:
        name = f"pure-{number}"
        trial = experiment.override({"training.optimizer.learning_rate": rates[number], "tracking.run_name": name})
        trial.folder.make()
        plan = build_plan(trial)
        began = time.perf_counter()
        run_locally(plan, run_training, lambda report: None)
        trained += time.perf_counter() - began
    return {"trained_s": trained}


def _run(parts: list[tuple[str, dict[str, Any], list[int]]]) -> list[dict[str, float]]:
    """Processes of their own, at the same time; the last line of each is its result."""
    command = [sys.executable, "-m", "benchmarks.search"]
    processes = [
        subprocess.Popen(
            [*command, "--part", part, "--settings", json.dumps(settings), "--numbers", json.dumps(numbers)],
            cwd=ROOT,
            env={**os.environ, **SETTINGS},
            stdout=subprocess.PIPE,
            text=True,
        )
        for part, settings, numbers in parts
    ]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise RuntimeError("a part of the benchmark failed; its errors stand above")
    return [json.loads(output.splitlines()[-1]) for output in outputs]


if __name__ == "__main__":
    main()
