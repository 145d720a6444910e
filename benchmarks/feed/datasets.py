"""The StreamingDataset of MosaicML or of litdata; runs in the peers' environment and prints rows per second."""

import json
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.feed.formats import MOSAICML
from benchmarks.feed.ranks import joined_ranks
from benchmarks.feed.rate import measure_rate
from benchmarks.feed.samples import RECORDINGS, Collator, rebatch
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from ray_jobs.settings.experiment import check_settings
from trainables.workloads import build_pipeline


def build_loader(arguments: dict[str, Any], cache: str, collate: Collator, batch_size: int) -> Iterable[Any]:
    """Return the loader that each library's documentation asks for."""
    place, processes, is_local = arguments["place"], arguments["processes"], "://" not in arguments["place"]
    options: dict[str, Any] = {"batch_size": batch_size, "num_workers": processes, "collate_fn": collate}
    options["persistent_workers"] = processes > 0
    if arguments["peer"] == MOSAICML:
        from streaming import StreamingDataset as MosaicDataset  # pyright: ignore

        where = {"local": place} if is_local else {"remote": place, "local": cache}
        return DataLoader(MosaicDataset(**where, batch_size=batch_size, shuffle=True), drop_last=True, **options)
    from litdata import StreamingDataLoader, StreamingDataset  # pyright: ignore[reportMissingImports]

    more = {} if is_local else {"storage_options": {"endpoint_url": arguments["endpoint"]}}
    rows: Any = StreamingDataset(place, cache_dir=cache, shuffle=True, drop_last=True, **more)
    return StreamingDataLoader(rows, **options)


def main() -> None:
    """Do what the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    root = os.getppid() if "RANK" in os.environ else os.getpid()
    experiment = check_settings(arguments["settings"], origin="benchmark")
    pipeline, workers = build_pipeline(experiment.workload), arguments["workers"]
    batch_size = experiment.training.batch_size // workers
    with tempfile.TemporaryDirectory() as cache, joined_ranks("benchmarks.feed.datasets", workers) as rank:
        place = arguments.get("cache") or cache
        is_cut_anew = isinstance(pipeline, HeartPipeline)
        loader: Any = build_loader(arguments, place, Collator(pipeline), RECORDINGS if is_cut_anew else batch_size)

        def epoch(_: int) -> Iterable[Any]:
            return rebatch(iter(loader), batch_size) if is_cut_anew else loader

        found = measure_rate(epoch, batch_size, began=arguments["began"], root=root)
    if rank == 0:
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
