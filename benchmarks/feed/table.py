"""Tables of the feeds: ours against the best of its peers, then every way by itself."""

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.feed.peers import TENSORS
from benchmarks.feed.ways import RESIDENT, STREAMED, STREAMING_PEERS

Found = list[dict[str, Any]]
"""The ways of one workload, each with its `runs`."""


def is_ours(name: str) -> bool:
    """Return whether a way is one of our feeds."""
    return name in (RESIDENT, STREAMED)


def format_table(found: dict[str, Found]) -> str:
    """Return both tables of all workloads."""
    lines = [
        "| rows of | from | workers | ours, streamed | best peer | ours over it | processor time a row | memory "
        "| resident over rows in memory | processor time a row |",
        "|" + " --- |" * 10,
    ]
    lines += [line for name, ways in found.items() for line in _summarise(name, ways)]
    for name, ways in found.items():
        lines += ["", f"{name}:", "", *_list_ways(ways)]
    return "\n".join(lines)


def best(ways: Found, names: Iterable[str], storage: str, workers: int) -> dict[str, Any] | None:
    """Return the way with the highest median rate; None without one that was measured."""
    names = list(names)
    fitting = [
        way
        for way in ways
        if way["name"] in names and (way["storage"], way["workers"]) == (storage, workers) and way["runs"]
    ]
    return max(fitting, key=lambda way: median(way, "rows_per_s"), default=None)


def median(way: dict[str, Any], key: str) -> float:
    """Return the median over the repeats."""
    return statistics.median(run[key] for run in way["runs"])


def ratio(way: dict[str, Any] | None, other: dict[str, Any] | None, key: str = "rows_per_s") -> float | None:
    """Return the median of the ratios within the repeats."""
    if way is None or other is None:
        return None
    return statistics.median(one[key] / two[key] for one, two in zip(way["runs"], other["runs"], strict=False))


def list_places(ways: Found) -> list[tuple[str, int]]:
    """Return each storage with each number of workers."""
    return list(dict.fromkeys((way["storage"], way["workers"]) for way in ways))


def _summarise(name: str, ways: Found) -> Iterable[str]:
    for storage, workers in sorted(list_places(ways), key=lambda place: place):
        ours, theirs = (best(ways, names, storage, workers) for names in ((STREAMED,), STREAMING_PEERS))
        resident, limit = (best(ways, (of,), storage, workers) for of in (RESIDENT, TENSORS))
        cells = [name, storage, str(workers), _rate(ours), _rate(theirs)]
        cells += [_number(ratio(ours, theirs, key)) for key in ("rows_per_s", "cpu_us", "peak_mib")]
        cells += [_number(ratio(resident, limit, key)) for key in ("rows_per_s", "cpu_us")]
        yield f"| {' | '.join(cells)} |"


def _list_ways(ways: Found) -> Iterable[str]:
    yield "| | from | workers | first batch after | first epoch | later epochs | processor time a row | memory |"
    yield "|" + " --- |" * 8
    for way in sorted(ways, key=lambda way: (way["storage"], way["workers"], not is_ours(way["name"]))):
        start = f"| {_words(way)} | {way['storage']} | {way['workers']} |"
        if way["runs"]:
            rates = [f"{median(way, key):,.0f} rows/s" for key in ("first_rows_per_s", "rows_per_s")]
            memory = f"{max(run['peak_mib'] for run in way['runs']):,.0f} MiB"
            cells = [f"{median(way, 'first_batch_s'):.1f} s", *rates, f"{median(way, 'cpu_us'):.1f} us", memory]
            yield f"{start} {' | '.join(cells)} |"
        else:
            yield f"{start} {way.get('refused', 'not measured')} | | | | |"


def _words(way: dict[str, Any]) -> str:
    return ", ".join(word for word in (way["name"], way["detail"]) if word)


def _rate(way: dict[str, Any] | None) -> str:
    return f"{median(way, 'rows_per_s'):,.0f} rows/s ({_words(way)})" if way else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
