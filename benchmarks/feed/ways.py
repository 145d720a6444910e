"""The ways to feed a training that are measured side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.feed.formats import LITDATA, MOSAICML
from benchmarks.feed.peers import PARQUET_LOADER, TENSORS

DISK, STORE = "local disk", "S3 server"
RESIDENT, STREAMED, RAY_DATA = "ours, resident", "ours, streamed", "Ray Data"
DATASETS = (MOSAICML, LITDATA)
"""Peers with a format of their own, which run in an environment of their own."""
STREAMING_PEERS = (RAY_DATA, *DATASETS, PARQUET_LOADER)
DETAILS: dict[str, dict[str, Any]] = {
    "0 read tasks": {"read_tasks": 0},
    "2 read tasks": {"read_tasks": 2},
    "without Ray": {"num_workers": 0},
}


@dataclass(frozen=True)
class Way:
    """One measurement of a workload."""

    name: str
    detail: str
    """What else was chosen, in words."""
    storage: str
    workers: int
    module: str
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def starts_ray(self) -> bool:
        """Whether Ray runs the workers."""
        return self.name == RAY_DATA or self.arguments.get("scaling", {}).get("num_workers", 0) > 0

    @property
    def place(self) -> tuple[str, int]:
        """What ways are compared within: storage and workers."""
        return self.storage, self.workers


def list_ways(storages: Sequence[str], all_workers: Sequence[int]) -> list[Way]:
    """Return all ways, ours and peers in turns."""
    found = [way for storage in storages for workers in all_workers for way in _ways_of(storage, workers)]
    ours = [way for way in found if way.name in (RESIDENT, STREAMED)]
    theirs = [way for way in found if way.name not in (RESIDENT, STREAMED)]
    return [way for pair in _in_turns(ours, theirs) for way in pair]


def _ways_of(storage: str, workers: int) -> Iterator[Way]:
    def way(name: str, detail: str, module: str, **arguments: Any) -> Way:
        return Way(name, detail, storage, workers, f"benchmarks.feed.{module}", {"workers": workers, **arguments})

    for name, feed in ((RESIDENT, "resident"), (STREAMED, "stream")):
        for detail, scaling in DETAILS.items():
            is_doubtful = name == RESIDENT and (storage == STORE or detail == "0 read tasks")
            if not is_doubtful and not (workers > 1 and detail == "without Ray"):
                yield way(name, detail, "ours", feed=feed, scaling={"num_workers": workers, **scaling})
    if storage == DISK:
        yield way(TENSORS, "by one index", "peers", peer=TENSORS)
    yield way(RAY_DATA, "", "ray_data")
    for processes in (0, 2) if workers == 1 else (0, 1):
        detail = f"{processes} loader processes"
        yield way(PARQUET_LOADER, detail, "peers", peer=PARQUET_LOADER, processes=processes)
        for name in DATASETS:
            yield way(name, detail, "datasets", peer=name, processes=processes)


def _in_turns(first: list[Way], second: list[Way]) -> Iterator[list[Way]]:
    """Yield a way of the shorter list before each share of the longer one."""
    shares = max(len(first), 1)
    for index in range(shares):
        low, high = (index * len(second) // shares, (index + 1) * len(second) // shares)
        yield [*first[index : index + 1], *second[low:high]]
