"""Preparation of data by one process and by two, beside litdata's `optimize` and MosaicML's `MDSWriter`.

python -m benchmarks.prepare [--kind images ...] [--repeats 2] [--share 1] [--without-peers] [--small-files 0]

Raw files are made up: JPEG images in class folders, PNG images for super-resolution, phonocardiograms whose beats are
found, and MPEG-4 videos. All decode them by the same code and write the same rows, in shards of the same size; the
seconds begin when everything is imported. Ours hold the digest of the raw files and checks of the rows as well, which
the peers do not make. What is left when one of two processes has no more to do, up to a shard, counts less in larger
sets: `--share 3 --without-peers` measures ours alone with more files. `--small-files` measures where the time goes for
so many JPEG images of 32x32 pixels.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.feed.formats import LITDATA, MOSAICML
from benchmarks.peer_environment import DEFAULT, find_python
from benchmarks.prepare.raw import COUNTS, write_raw, write_small_images
from benchmarks.prepare.run import OURS
from benchmarks.results import save_results
from benchmarks.watched import reason_of, run_module

PEERS = (LITDATA, MOSAICML)
PROCESSES = (1, 2)
IMAGENET_21K = 14_000_000
"""Files of the largest image set that the seconds of many small files are extrapolated to."""
SMALL = "small files"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--kind", nargs="*", choices=sorted(COUNTS), default=list(COUNTS))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the files")
    parser.add_argument("--without-peers", action="store_true", help="ours alone, kept as figures of their own")
    parser.add_argument("--small-files", type=int, default=0, metavar="N")
    parser.add_argument("--peer-env", type=Path, default=DEFAULT)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    for kind in options.kind:
        count, by = int(COUNTS[kind] * options.share), (OURS,) if options.without_peers else (OURS, *PEERS)
        name = f"{kind}, more of them" if options.without_peers else kind
        found[name] = measure_kind(kind, count, options.repeats, options.peer_env, by)
        save_results("preparing", {name: found[name]}, keeps_others=True)
    if options.small_files:
        found[SMALL] = measure_small_files(options.small_files)
        save_results("preparing", {SMALL: found[SMALL]}, keeps_others=True)
    print(format_table(found))


def measure_kind(
    kind: str, count: int, repeats: int, peer_environment: Path, of: Sequence[str] = (OURS, *PEERS)
) -> dict[str, Any]:
    """Return the `runs` of each way with each number of processes, or why there are none, `refused`."""
    python, fault = find_python(peer_environment) if len(of) > 1 else (None, None)
    found: dict[str, Any] = {"files": count, "ways": []}
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        write_raw(kind, folder / "raw", count)
        ways = [{"by": by, "processes": number, "runs": []} for number in PROCESSES for by in of]
        for repeat in range(repeats):
            for way in ways:
                if way["by"] != OURS and python is None:
                    way["refused"] = fault
                if "refused" not in way:
                    _run(way, kind, folder, python)
                said = way.get("refused") or f"{way['runs'][-1]['seconds']:.1f} s"
                print(f"{repeat + 1}: {kind} by {way['by']}, {way['processes']} processes: {said}", flush=True)
        found["ways"] = ways
    return found


def _run(way: dict[str, Any], kind: str, folder: Path, python: Path | None) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        target = str(Path(temporary, "prepared"))
        arguments = {"kind": kind, "raw": str(folder / "raw"), "target": target, **way, "runs": []}
        try:
            if way["by"] == OURS:
                way["runs"].append(run_module("benchmarks.prepare.run", arguments))
            else:
                way["runs"].append(run_module("benchmarks.prepare.run", arguments, python=str(python)))
        except RuntimeError as error:
            if way["by"] == OURS:
                raise
            way["refused"] = reason_of(error)


def measure_small_files(count: int) -> dict[str, Any]:
    """Return the seconds of each part for many small files."""
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        folder = Path(temporary)
        write_small_images(folder / "raw", count)
        arguments = {"raw": str(folder / "raw"), "target": str(folder / "prepared")}
        return {"files": count, **run_module("benchmarks.prepare.small", arguments)}


def format_table(found: dict[str, Any]) -> str:
    """Return the seconds of all ways, and where the time of many small files goes."""
    lines = [
        "| files | by | 1 process | 2 processes | 1 over 2 | theirs over ours, 1 | 2 | processor time, 1 | 2 "
        "| bytes of 1 and 2 |",
        "|" + " --- |" * 10,
    ]
    for kind, measured in found.items():
        if kind != SMALL:
            lines += [_row(kind, measured, by) for by in dict.fromkeys(way["by"] for way in measured["ways"])]
    if SMALL in found:
        lines += ["", *_list_parts(found[SMALL])]
    return "\n".join(lines)


def ratio(measured: dict[str, Any], over: tuple[str, int], under: tuple[str, int]) -> float | None:
    """Return the median of the ratios of seconds within the repeats, each way named by whose it is and processes."""
    one, two = (runs_of(measured, *way) for way in (over, under))
    pairs = [a["seconds"] / b["seconds"] for a, b in zip(one, two, strict=False)]
    return statistics.median(pairs) if pairs else None


def runs_of(measured: dict[str, Any], by: str, processes: int) -> list[dict[str, Any]]:
    """Return what was measured of a way, once for each repeat."""
    return next(way["runs"] for way in measured["ways"] if (way["by"], way["processes"]) == (by, processes))


def _row(kind: str, measured: dict[str, Any], by: str) -> str:
    refused = next((way["refused"] for way in measured["ways"] if way["by"] == by and "refused" in way), None)
    if refused:
        return f"| {measured['files']:,} of {kind} | {by} | {refused} | | | | | | | |"
    seconds = [statistics.median(run["seconds"] for run in runs_of(measured, by, number)) for number in PROCESSES]
    cells = [f"{measured['files']:,} of {kind}", by, *(f"{each:.1f} s" for each in seconds)]
    cells.append(f"{ratio(measured, (by, 1), (by, 2)):.2f}")
    cells += ["" if by == OURS else f"{ratio(measured, (by, number), (OURS, number)):.2f}" for number in PROCESSES]
    cells += [
        f"{statistics.median(run['cpu_s'] for run in runs_of(measured, by, number)):.1f} s" for number in PROCESSES
    ]
    digests = {run["digest"] for number in PROCESSES for run in runs_of(measured, by, number)}
    cells.append("the same" if len(digests) == 1 else "not compared" if by != OURS else "OTHER BYTES")
    return f"| {' | '.join(cells)} |"


def _list_parts(small: dict[str, Any]) -> list[str]:
    """Return a line for each part of the time of many small files."""
    count, whole = small["files"], small["seconds"]
    parts = {
        **small["parts"],
        "shards and the rest": whole - sum(small["parts"].values()),
        "all, by one process": whole,
    }
    lines = [
        f"| {count:,} JPEG images of 32x32 | seconds | share | {IMAGENET_21K / 1e6:.0f} million, by proportion |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {seconds:.1f} s | {100 * seconds / whole:.0f} % | {seconds * IMAGENET_21K / count / 60:.0f} min |"
        for name, seconds in parts.items()
    ]
    return lines


if __name__ == "__main__":
    main()
