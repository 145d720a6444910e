"""How cost grows: what is done for rows, trials and files, at 1, 4 and 16 times their number.

python -m benchmarks.growth [--only NAME ...] [--share 1]

Nothing is trained: the records, trials and files are made up. Seconds are those of the processor: of three turns the
quickest, without Python's garbage collector, whose passes follow the number of objects. Memory, requests and bytes are
measured once. The exponent is that of the number between the first and the last size, 1 for a cost that is proportional
to it. The command fails when one is above 1.1, and when the page of a million rows takes more than 500 MB.

- resume: a run goes on from a checkpoint whose history has so many rows, 50 for each report.
- search: all events of so many trials, each of which starts, is measured and ends, with the leaderboard's files.
- ranking: two objectives of so many trials, of which some hundredth is efficient.
- class folders: so many image files in ten folders are listed and put into splits.
- report: the page of a run with so many rows; report memory: the most that its process takes, with all modules.
- sync: so many rows are read from a record as `sync` does; sync memory: the most that Python's objects take meanwhile.
- storage requests: changes of an object store by all events of a search of so many trials.
- bytes in parts: what is sent of a record of so many rows, 50 for each addition, until it is one file.
"""

import argparse
import gc
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth_records import (
    CountingFolder,
    measure_bytes_in_parts,
    measure_report,
    measure_report_memory,
    measure_resume,
    measure_sync,
    measure_sync_memory,
)
from benchmarks.results import save_results
from data_pipelines.images.class_folders import FolderSource
from data_pipelines.readers.image_shape import ImageShape
from ray_jobs.search.leaderboard import LeaderboardFiles
from ray_jobs.search.ranking import rank
from ray_jobs.search.sweep_plan import SweepPlan, build_sweep_plan
from ray_jobs.search.trials import Trials
from ray_jobs.settings.experiment import check_settings

MOST = 1.1
MOST_REPORT_MB = 500
FACTORS = (1, 4, 16)
REPEATS = 3
RATE = "training.optimizer.learning_rate"
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
        measure, largest, unit = MEASURES[name]
        counts = [max(int(largest * options.share) * factor // FACTORS[-1], 1) for factor in FACTORS]
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
            repeats = REPEATS if unit == "s" else 1
            values = [
                min(measure(Path(temporary) / f"{count}-{turn}", count) for turn in range(repeats)) for count in counts
            ]
        found[name] = {"counts": counts, "seconds": values, "exponent": exponent(counts, values), "unit": unit}
        print(
            name, [f"{count:,}: {value:,.3g} {unit}" for count, value in zip(counts, values, strict=True)], flush=True
        )
    print(format_table(found))
    if found.get("report memory", {"seconds": [0]})["seconds"][-1] > MOST_REPORT_MB:
        sys.exit(f"the report takes more than {MOST_REPORT_MB} MB")
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
        unit = each.get("unit", "s")
        cells = [name, *(f"{count:,}: {_short(value)} {unit}" for count, value in pairs), f"{each['exponent']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


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


def measure_storage_requests(place: Path, count: int) -> float:
    """Return the changes of storage by all events of a search's trials."""
    setup = _plan(place, {})
    folder = CountingFolder(str(setup.folder))
    folder.make()
    trials = Trials(folder)
    for point in range(count):
        (trial,) = setup.expand(point, point, {RATE: 0.1})
        for state in ("waiting", "running", "finished"):
            trials.put(trial.change(state=state))
    trials.close()
    return folder.changes


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


MEASURES: dict[str, tuple[Callable[[Path, int], float], int, str]] = {
    "resume": (measure_resume, 1_000_000, "s"),
    "search": (measure_search, 5_000, "s"),
    "ranking": (measure_ranking, 5_000, "s"),
    "class folders": (measure_class_folders, 160_000, "s"),
    "report": (measure_report, 160_000, "s"),
    "report memory": (measure_report_memory, 1_000_000, "MB"),
    "sync": (measure_sync, 1_000_000, "s"),
    "sync memory": (measure_sync_memory, 160_000, "MB"),
    "storage requests": (measure_storage_requests, 5_000, "changes"),
    "bytes in parts": (measure_bytes_in_parts, 1_000_000, "MB"),
}
"""Each with its largest number, and its unit."""


if __name__ == "__main__":
    main()
