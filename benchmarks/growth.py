"""How cost grows: processor seconds of what is done for rows, trials and files, at 1, 4 and 16 times their number.

python -m benchmarks.growth [--only NAME ...] [--share 1]

Nothing is trained: the records, trials and files are made up. Of three turns the quickest counts, without
Python's garbage collector, whose passes follow the number of objects. The exponent is that of the number between the
first and the last size, 1 for a cost that is proportional to it. The command fails when one is above 1.1.

- resume: a run goes on from a checkpoint whose history has so many rows, 50 for each report.
- search: all events of so many trials, each of which starts, is measured and ends, with the leaderboard's files.
- ranking: two objectives of so many trials, of which some hundredth is efficient.
- class folders: so many image files in ten folders are listed and put into splits.
- report: the page of a run with so many rows.
"""

import argparse
import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import save_results
from data_pipelines.images.class_folders import FolderSource
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.storage.folder import Folder
from ray_jobs.report.report import write_report
from ray_jobs.run_folder.run_recorder import METRICS, RunRecorder
from ray_jobs.search.leaderboard import LeaderboardFiles
from ray_jobs.search.ranking import rank
from ray_jobs.search.sweep_plan import SweepPlan, build_sweep_plan
from ray_jobs.search.trials import Trials
from ray_jobs.settings.experiment import check_settings
from trainables.engine.files.history import History, to_lines
from trainables.engine.files.messages import WorkerReport

MOST = 1.1
FACTORS = (1, 4, 16)
REPEATS = 3
RATE = "training.optimizer.learning_rate"
ROWS_PER_REPORT = 50
SPEED = {"samples_per_s": 100.0, "step_s": 0.1, "data_wait_ratio": 0.01, "peak_memory_mib": 50.0}
SPEED |= {"computing_s": 1.0, "waiting_s": 0.0, "evaluation_s": 0.0}
TWO = [{"metric": "val/a", "mode": "min"}, {"metric": "val/b", "mode": "min"}]


def main() -> None:
    """Print the table; exit code 1 when something grows too fast."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES))
    parser.add_argument("--share", type=float, default=1.0, help="of the numbers")
    options = parser.parse_args()
    gc.disable()
    found: dict[str, Any] = {}
    for name in options.only or MEASURES:
        measure, largest = MEASURES[name]
        counts = [max(int(largest * options.share) * factor // FACTORS[-1], 1) for factor in FACTORS]
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
            seconds = [
                min(measure(Path(temporary) / f"{count}-{turn}", count) for turn in range(REPEATS)) for count in counts
            ]
        found[name] = {"counts": counts, "seconds": seconds, "exponent": exponent(counts, seconds)}
        print(name, [f"{count:,}: {second:.3g} s" for count, second in zip(counts, seconds, strict=True)], flush=True)
    print(format_table(found))
    if not options.only and options.share == 1:
        save_results("growth", found)
    sys.exit(int(any(each["exponent"] > MOST for each in found.values())))


def exponent(counts: list[int], seconds: list[float]) -> float:
    """Return the slope of the logarithms between the first and the last size."""
    return math.log(seconds[-1] / seconds[0]) / math.log(counts[-1] / counts[0])


def format_table(found: dict[str, Any]) -> str:
    """Return a row for each figure."""
    lines = ["| | 1 | 4 times | 16 times | exponent |", "| --- | --- | --- | --- | --- |"]
    for name, each in found.items():
        pairs = zip(each["counts"], each["seconds"], strict=True)
        cells = [name, *(f"{count:,}: {seconds:.3g} s" for count, seconds in pairs), f"{each['exponent']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def measure_resume(place: Path, count: int) -> float:
    """Return the seconds in which a run's record gets its rows back."""
    folder = Folder(str(place))
    history = History()
    for first in range(1, count + 1, ROWS_PER_REPORT):
        history.append(_rows(first, min(first + ROWS_PER_REPORT, count + 1)))
    checkpoint = f"checkpoints/step_{count:09d}"
    folder.write(f"{checkpoint}/history.jsonl.gz", history.content)
    recorder = RunRecorder(folder, prints=False)
    start = time.process_time()
    recorder.apply(_report(count, resumed_from=checkpoint))
    seconds = time.process_time() - start
    assert folder.read(METRICS).count(b"\n") == count
    return seconds


def measure_search(place: Path, count: int) -> float:
    """Return the seconds of all events of a search's trials."""
    setup = _plan(place, {})
    setup.folder.make()
    trials = Trials(setup.folder)
    files = LeaderboardFiles(setup, trials)
    start = time.process_time()
    for point in range(count):
        (trial,) = setup.expand(len(trials), point, {RATE: 10 ** -(1 + point / count)})
        trials.put(trial)
        trials.put(trial.change(state="running"))
        value = 1 + math.sin(point)
        trials.put(trial.change(state="finished", objectives=(value,), metrics={"val/a": value, "val/b": 0.5}))
        files.save_when_due()
        assert len(trials.of_point(point)) == 1
    files.save()
    return time.process_time() - start


def measure_ranking(place: Path, count: int) -> float:
    """Return the seconds in which trials of two objectives are ranked."""
    setup = _plan(place, {"objectives": TWO})
    setup.folder.make()
    trials = Trials(setup.folder)
    draws = np.random.default_rng(0).random((count, 2)).tolist()
    for point, (first, second) in enumerate(draws):
        (trial,) = setup.expand(point, point, {RATE: 0.1})
        trials.put(trial.change(state="finished", objectives=(first, second)), is_kept=False)
    start = time.process_time()
    entries = rank(setup, trials)
    seconds = time.process_time() - start
    assert 0 < sum(entry.is_efficient for entry in entries) < count
    return seconds


def measure_class_folders(place: Path, count: int) -> float:
    """Return the seconds in which the images of class folders are listed."""
    for label in range(10):
        (place / f"class {label}").mkdir(parents=True)
    for number in range(count):
        (place / f"class {number % 10}" / f"{number}.png").touch()
    start = time.process_time()
    rows = FolderSource(place, ImageShape(3, 8, 8)).num_rows()
    seconds = time.process_time() - start
    assert sum(rows.values()) == count
    return seconds


def measure_report(place: Path, count: int) -> float:
    """Return the seconds in which the page of a run is written."""
    folder = Folder(str(place / "runs" / "some-run"))
    known = {"name": "some-run", "wandb_id": "x", "started": "2026-01-01T10:00:00+00:00", "tags": [], "group": None}
    folder.write_json("run.json", {**known, "job_type": "train"})
    folder.write_json("experiment.json", {"workload": {"name": "made up"}})
    folder.write_json("tracking.json", {"goal": "val/a"})
    folder.write(METRICS, to_lines(_rows(1, count + 1)))
    steps = range(0, count + 1, ROWS_PER_REPORT)
    folder.write("events.jsonl", "".join(json.dumps({"time": 1e3 + n, **_position(n)}) + "\n" for n in steps).encode())
    folder.write("train.log", b"")
    start = time.process_time()
    write_report(str(folder), str(place / "report.html"), str(place))
    return time.process_time() - start


def _rows(first: int, end: int) -> list[dict[str, float | int]]:
    return [{"step": step, "epoch": 1, "train/loss": 1 / step, "val/a": math.sin(step)} for step in range(first, end)]


def _position(step: int) -> dict[str, Any]:
    position = {"epoch": 1, "step": step, "step_in_epoch": step, "steps_per_epoch": step + 1, "num_epochs": 1}
    position |= {"samples_per_epoch": step + 1, "learning_rate": 0.1}
    return {**position, "num_steps": step + 1, "speed": SPEED, "system": {}, "is_finished": False, "panels": []}


def _report(step: int, **optional: Any) -> WorkerReport:
    parts = {"rows": [], "epoch_means": {}, "messages": [], "metrics": {}}
    return {**_position(step), **parts, **optional}  # pyright: ignore[reportReturnType]


def _plan(place: Path, settings: dict[str, Any]) -> SweepPlan:
    space = {RATE: {"loguniform": [1e-6, 1.0]}}
    experiment = check_settings(
        {
            "workload": {"name": "flow_matching"},
            "training": {"epochs": 1, "batch_size": 8},
            "scaling": {"num_workers": 1},
            "storage": {"path": str(place)},
            "search": {"space": space, "searcher": "tpe", "num_points": 1, **settings},
        },
        origin="benchmark",
    )
    return build_sweep_plan(experiment, "made up")


MEASURES: dict[str, tuple[Callable[[Path, int], float], int]] = {
    "resume": (measure_resume, 1_000_000),
    "search": (measure_search, 5_000),
    "ranking": (measure_ranking, 5_000),
    "class folders": (measure_class_folders, 160_000),
    "report": (measure_report, 160_000),
}
"""Each with its largest number."""


if __name__ == "__main__":
    main()
