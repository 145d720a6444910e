"""Rows a second of our feed beside its peers: Ray Data, MosaicML's streaming, litdata, DataLoaders, rows in memory.

python -m benchmarks.feed [--workload flow_matching ...] [--storage disk S3] [--workers 1 2] [--repeats 2] [--share 1]

A row is what a batch holds before augmentation: an image, a pair of patches cut out of one, a window cut out of a clip
(both by the same code for all), a heart cycle, cut and resampled anew as its recording is read. All read the same
stored rows in batches of the same size, mixed over some shards, from a local disk or from an S3 server on this machine
(which shares its cores), and train nothing. Two workers are two processes that each take half of every batch. Counted
are the seconds from the start of a process to its first batch, the first epoch, the epochs after it, for which all but
Ray Data keep what came from the server on disk, and the most memory of all processes together, in which each page
counts once. Where a feed can read in several processes or threads, some numbers of them are tried, and the best counts.
`rows in memory` are cut out by one index for each batch, which is the limit. MosaicML's streaming and litdata live in
an environment of their own, made in --peer-env; a peer that refuses has a line that says why.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, Case
from benchmarks.feed.table import format_table, is_ours
from benchmarks.feed.ways import DATASETS, DISK, STORE, Way, list_ways
from benchmarks.ladder import build_settings
from benchmarks.peer_environment import DEFAULT, find_python
from benchmarks.results import save_results
from benchmarks.s3_store import S3Store, started_store
from benchmarks.watched import pss_mib, reason_of, run_module
from ray_jobs.runs.planning import prepare_data
from ray_jobs.settings.experiment import check_settings

SIZES = {"flow_matching": 100_000, "super_resolution": 1200, "video_prediction": 3000, "heart_sound_pretrain": 3000}
"""Raw rows or files of each; a quarter of a GB as read, and half as much of heart sounds, which are cut into cycles
anew as they are read."""
STORAGES = {"disk": DISK, "S3": STORE}
PREPARED = "prepared"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--workload", nargs="+", choices=sorted(SIZES), default=list(SIZES))
    parser.add_argument("--storage", nargs="+", choices=list(STORAGES), default=list(STORAGES))
    parser.add_argument("--workers", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the rows")
    parser.add_argument("--without-ray", action="store_true", help="leave out what starts Ray, which takes a while")
    parser.add_argument("--only", nargs="+", help="measure some feeds alone, by their names, and keep no figures")
    parser.add_argument("--peer-env", type=Path, default=DEFAULT)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    ways = list_ways([STORAGES[name] for name in options.storage], options.workers)
    ways = [way for way in ways if not options.only or way.name in options.only]
    ways = [way for way in ways if not (options.without_ray and way.starts_ray)]
    for name in options.workload:
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
            measured = Measured(CASES[name], Path(temporary), int(SIZES[name] * options.share), options.peer_env)
            with started_store() if "S3" in options.storage else nullcontext() as store:
                for found in measured.measure(ways, store, options.repeats):
                    if not options.only:
                        save_results("reading", {name: found}, keeps_others=True)
        print(format_table({name: found}), flush=True)


class Measured:
    """One workload, whose rows are prepared, and written in the formats of the peers."""

    def __init__(self, case: Case, folder: Path, num_raw: int, peer_environment: Path) -> None:
        self._folder = folder
        case.write_raw(folder / "raw", num_raw)
        self._settings = build_settings(case, folder, 1, "feed", {"scaling": {"num_workers": 0}})
        self._settings["training"]["batch_size"] *= 4
        self._settings["workload"]["data"][PREPARED] = str(folder / PREPARED)
        prepare_data(check_settings(self._settings, origin="benchmark"))
        python, fault = find_python(peer_environment)
        self._python, self._faults = str(python), dict.fromkeys(DATASETS, fault) if fault else {}
        for name in [] if fault else DATASETS:
            arguments = {"settings": self._settings, "folder": str(folder), "peer": name}
            try:
                run_module("benchmarks.feed.formats", arguments, python=self._python)
            except RuntimeError as error:
                self._faults[name] = reason_of(error)

    def measure(self, ways: list[Way], store: S3Store | None, repeats: int) -> Iterator[list[dict[str, Any]]]:
        """Yield after each measurement what was found so far of every way.

        These are its `runs`, one for each repeat, or why there are none, `refused`.
        """
        if store:
            for name in (PREPARED, *DATASETS):
                if (self._folder / name).exists():
                    store.upload(self._folder / name, name)
        found = [
            {"name": way.name, "detail": way.detail, "storage": way.storage, "workers": way.workers, "runs": []}
            for way in ways
        ]
        for repeat in range(repeats):
            for way, entry in zip(ways, found, strict=True):
                if "refused" not in entry:
                    self._try(way, entry, store)
                    said = entry.get("refused") or f"{entry['runs'][-1]['rows_per_s']:,.0f} rows/s"
                    print(f"{repeat + 1}: {way.name}, {way.detail}, {way.storage}, {way.workers}: {said}", flush=True)
                yield found

    def _try(self, way: Way, entry: dict[str, Any], store: S3Store | None) -> None:
        """Add a run, or why the peer refuses."""
        if way.name in self._faults:
            entry["refused"] = self._faults[way.name]
            return
        try:
            entry["runs"].append(self._run(way, store))
        except RuntimeError as error:
            if is_ours(way.name):
                raise
            entry["refused"] = reason_of(error)

    def _run(self, way: Way, store: S3Store | None) -> dict[str, Any]:
        """Measure one way, with an empty cache."""
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as cache:
            arguments = {**way.arguments, "settings": self._settings_of(way, store, cache)}
            if way.name not in DATASETS:
                return run_module(way.module, arguments, memory=pss_mib)
            place = str(self._folder / way.name)
            if way.storage == STORE:
                assert store is not None
                place = store.plain_uri(way.name)
                arguments["endpoint"] = store.address
            return run_module(way.module, {**arguments, "place": place}, python=self._python, memory=pss_mib)

    def _settings_of(self, way: Way, store: S3Store | None, cache: str) -> dict[str, Any]:
        workload = self._settings["workload"]
        uri = store.uri(PREPARED) if store and way.storage == STORE else workload["data"][PREPARED]
        return {
            **self._settings,
            "workload": {**workload, "data": {**workload["data"], PREPARED: uri}},
            "training": {**self._settings["training"], "feed": way.arguments.get("feed", "stream")},
            "scaling": {**self._settings["scaling"], **way.arguments.get("scaling", {})},
            "storage": {**self._settings["storage"], "cache_path": cache},
        }


if __name__ == "__main__":
    main()
