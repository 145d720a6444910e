"""Writes prepared rows as MosaicML's streaming and litdata keep them; runs in the peers' environment."""

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.feed.samples import Sample, samples_of
from data_pipelines.prepared.shard_files import SHARD_BYTES
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import check_settings
from trainables.ray_train.row_sources import open_splits
from trainables.workloads import build_pipeline

MOSAICML, LITDATA = "mosaicml-streaming", "litdata"
ENCODINGS = {int: "int", bytes: "bytes"}


def read_all(settings: dict[str, Any], _: int = 0) -> Iterator[Sample]:
    """Yield the training rows."""
    experiment = check_settings(settings, origin="benchmark")
    pipeline = build_pipeline(experiment.workload)
    yield from samples_of(open_splits(build_plan(experiment))["train"], pipeline)


def write_mosaicml(samples: Iterator[Sample], folder: Path) -> None:
    """Write the shards of MosaicML's streaming."""
    from streaming import MDSWriter  # pyright: ignore

    first = next(samples)
    columns = {name: ENCODINGS[type(value)] for name, value in first.items()}
    with MDSWriter(out=str(folder), columns=columns, size_limit=SHARD_BYTES) as writer:
        writer.write(first)
        for sample in samples:
            writer.write(sample)


def main() -> None:
    """Write what the arguments file says, each into a folder of its own."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    settings, folder = arguments["settings"], Path(arguments["folder"])
    if arguments["peer"] == MOSAICML:
        write_mosaicml(read_all(settings), folder / MOSAICML)
    else:
        from litdata import optimize  # pyright: ignore[reportMissingImports]

        read = partial(read_all, settings)
        optimize(read, [0], str(folder / LITDATA), chunk_bytes=SHARD_BYTES, num_workers=1, verbose=False)
    print(json.dumps({}))


if __name__ == "__main__":
    main()
