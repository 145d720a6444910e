"""One preparation by ours or by a peer, with a number of processes; prints its seconds."""

import hashlib
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.feed.formats import LITDATA, write_mosaicml
from benchmarks.feed.samples import Sample, sample_of
from benchmarks.prepare.raw import build_pipeline
from data_pipelines.contract.pipeline import DataPipeline, Split
from data_pipelines.prepared.making.shard_processes import freeze, thaw
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.shard_files import SHARD_BYTES
from data_pipelines.storage.folder import Folder

OURS = "ours"
NUM_PARTS = 16
"""Parts of the raw rows that the peers' processes share out."""
Part = tuple[Split, int, int]
"""A split, its first row and the row behind the last."""


def main() -> None:
    """Do what the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    target, processes = Path(arguments["target"]), arguments["processes"]
    if arguments["by"] != OURS:
        import_module("litdata" if arguments["by"] == LITDATA else "streaming")
    began, started = time.perf_counter(), time.process_time()
    pipeline = build_pipeline(arguments["kind"], Path(arguments["raw"]))
    if arguments["by"] == OURS:
        prepare(pipeline, Folder(str(target)), num_processes=processes)
    else:
        frozen = freeze(pipeline)
        assert frozen is not None
        write = _write_by_litdata if arguments["by"] == LITDATA else _write_by_mosaicml
        write(frozen, list(_parts_of(pipeline)), target, processes)
    seconds = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(each.ru_utime + each.ru_stime for each in used) - started
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "digest": _digest(target)}), flush=True)


def _parts_of(pipeline: DataPipeline[Any]) -> Iterator[Part]:
    rows = pipeline.num_raw_rows()
    size = -(-sum(rows.values()) // NUM_PARTS)
    for split, count in rows.items():
        for first in range(0, count, size):
            yield split, first, min(first + size, count)


@cache
def _thawed(frozen: bytes) -> DataPipeline[Any]:
    """Return the pipeline with its listing, once in every process."""
    return thaw(frozen)


def _read_part(frozen: bytes, part: Part) -> Iterator[Sample]:
    pipeline, (split, first, last) = _thawed(frozen), part
    for table in pipeline.read_raw(split, first):
        for row in range(min(table.num_rows, last - first)):
            yield sample_of(table.slice(row, 1), pipeline)
        first += table.num_rows
        if first >= last:
            return


def _write_by_litdata(frozen: bytes, parts: list[Part], target: Path, processes: int) -> None:
    from litdata import optimize  # pyright: ignore[reportMissingImports]

    read = partial(_read_part, frozen)
    optimize(read, parts, str(target), chunk_bytes=SHARD_BYTES, num_workers=processes, verbose=False)


def _write_by_mosaicml(frozen: bytes, parts: list[Part], target: Path, processes: int) -> None:
    """Write as the documentation asks for: each process writes folders of its own, whose indices are merged."""
    from streaming.base.util import merge_index  # pyright: ignore[reportMissingImports]

    work = [(frozen, part, target / f"{number:02d}") for number, part in enumerate(parts)]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        pool.starmap(_write_part, work, chunksize=1)
    merge_index(str(target), keep_local=True)


def _write_part(frozen: bytes, part: Part, folder: Path) -> None:
    write_mosaicml(_read_part(frozen, part), folder)


def _digest(folder: Path) -> str:
    """Return a digest of all files of a folder, by name."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            digest.update(f"{file.relative_to(folder)}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    main()
