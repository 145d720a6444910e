"""What tracking costs: four tiny trials with 20 reports each under Tune, without a callback, with ours, with Ray's own.

python -m benchmarks.tracking [--repeats 3]

All in one run and in turns; W&B is offline. The trials do nothing but report ten numbers for each of five steps, so
this is the cost of the callback alone. What a real training pays is in the ladder, layer L3.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.results import save_results
from ray_jobs.cluster.connection import SETTINGS, connect

NUM_TRIALS, NUM_REPORTS, STEPS_PER_REPORT, NUM_SCALARS = 4, 20, 5, 10
Build = Callable[[Path], AbstractContextManager[list[Any]]]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true", WANDB_ERROR_REPORTING="false")
    connect()
    _run(lambda folder: nullcontext([]))  # the first trials of a cluster start its workers
    seconds: dict[str, list[float]] = {"no callback": [], "ours": [], "Ray's own": []}
    for _ in range(options.repeats):
        for name, build in (("no callback", _none), ("ours", _ours), ("Ray's own", _stock)):
            seconds[name].append(_run(build))
    save_results("tracking", seconds)
    print(format_table(seconds))


def format_table(seconds: dict[str, list[float]]) -> str:
    """Median and range of each, and its ratio to no callback and to Ray's own."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    lines = [
        "| callback | seconds, median | range | against none | against Ray's own |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, values in seconds.items():
        against_none, against_stock = medians[name] / medians["no callback"], medians[name] / medians["Ray's own"]
        spread = f"{min(values):.1f} to {max(values):.1f}"
        lines.append(f"| {name} | {medians[name]:.1f} | {spread} | {against_none:.2f} | {against_stock:.2f} |")
    return "\n".join(lines)


def _run(build: Build) -> float:
    """Seconds from the start of the trials to the end of all that the callback does."""
    from ray import tune

    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        began = time.perf_counter()
        with build(folder) as callbacks:
            tuner = tune.Tuner(
                tune.with_resources(_trainable(), {"CPU": 1}),
                param_space={"number": tune.grid_search(list(range(NUM_TRIALS)))},
                run_config=tune.RunConfig(
                    name="bench", storage_path=str(folder / "tune"), callbacks=callbacks, verbose=0, stop={"done": True}
                ),
            )
            assert not tuner.fit().errors
        return time.perf_counter() - began


def _trainable() -> type:
    from ray import tune

    class Reporter(tune.Trainable):
        """Reports and does nothing else."""

        def setup(self, config: dict[str, Any]) -> None:
            self.count = 0

        def step(self) -> dict[str, Any]:
            self.count += 1
            rows = [
                _row(self.count, step)
                for step in range((self.count - 1) * STEPS_PER_REPORT, self.count * STEPS_PER_REPORT)
            ]
            return {**rows[-1], "report": _report(self.count, rows), "done": self.count == NUM_REPORTS}

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing to keep."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Nothing was kept."""

    return Reporter


def _row(count: int, step: int) -> dict[str, float | int]:
    scalars = {f"train/scalar_{index}": step / (index + 1) for index in range(NUM_SCALARS)}
    return {"step": step + 1, "epoch": count, **scalars}


def _report(count: int, rows: list[dict[str, float | int]]) -> dict[str, Any]:
    return {
        "metrics": {},
        "epoch": count,
        "step": count * STEPS_PER_REPORT,
        "num_epochs": NUM_REPORTS,
        "num_steps": NUM_REPORTS * STEPS_PER_REPORT,
        "speed": {"samples_per_s": 1.0, "step_s": 1.0, "data_wait_ratio": 0.0, "peak_memory_mib": 1.0},
        "is_finished": count == NUM_REPORTS,
        "rows": rows,
        "panels": [],
        "messages": [],
        "system": {},
        **({"resumed_from": None} if count == 1 else {}),
    }


def _none(folder: Path) -> AbstractContextManager[list[Any]]:
    return nullcontext([_build_recorder(folder)])


@contextmanager
def _ours(folder: Path) -> Iterator[list[Any]]:
    """As `sweep` does it."""
    from ray_jobs.tracking.callback import WandbLoggerCallback
    from ray_jobs.tracking.mirror_handle import MirrorHandle
    from ray_jobs.tracking.tracking_process import Tracker

    recorder = _build_recorder(folder)

    def start(trial: Any) -> MirrorHandle:
        record, experiment = recorder.record_of(trial)
        return MirrorHandle(tracker, record.folder, experiment.tracking, record.log)

    with closing(Tracker()) as tracker:
        yield [recorder, WandbLoggerCallback(start)]


def _stock(folder: Path) -> AbstractContextManager[list[Any]]:
    from ray.air.integrations.wandb import WandbLoggerCallback

    return nullcontext([WandbLoggerCallback(project="bench", dir=str(folder)), _build_recorder(folder)])


def _build_recorder(folder: Path) -> Any:
    """Writes the record of every trial, as `train` does of its one."""
    from ray import tune

    from ray_jobs.run_folder.run_recorder import RunRecorder
    from ray_jobs.runs.training import describe
    from ray_jobs.settings.experiment import check_settings

    class Recorder(tune.Callback):
        def __init__(self) -> None:
            self.known: dict[str, Any] = {}

        def record_of(self, trial: Any) -> Any:
            if trial.trial_id not in self.known:
                settings = {
                    "workload": {"name": "flow_matching"},
                    "training": {"epochs": NUM_REPORTS},
                    "storage": {"path": str(folder / "runs")},
                    "tracking": {"wandb": True, "mode": "offline", "run_name": trial.trial_id},
                }
                experiment = check_settings(settings, origin="benchmark")
                experiment.folder.make()
                describe(experiment)
                self.known[trial.trial_id] = (RunRecorder(experiment.folder, prints=False), experiment)
            return self.known[trial.trial_id]

        def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            self.record_of(trial)

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
        ) -> None:
            self.record_of(trial)[0].apply(result.pop("report"))

    return Recorder()


if __name__ == "__main__":
    os.environ.update(SETTINGS)
    main()
