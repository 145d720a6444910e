"""The `prepare` verb, with a progress bar."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ray_jobs.console import format_counts
from ray_jobs.runs.planning import OnProgress, prepare_data
from ray_jobs.settings.experiment import Experiment


@contextmanager
def progress_bar() -> Iterator[OnProgress]:
    """A bar over rows that appears with the first ones; warnings stand above it."""
    bar: tqdm | None = None
    with ExitStack() as until_done:

        def show(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                until_done.enter_context(logging_redirect_tqdm())
                bar = until_done.enter_context(tqdm(total=total, unit="row", desc="prepare", mininterval=0.5))
            bar.update(done - bar.n)
            if done >= total:
                until_done.close()

        yield show


def prepare_experiment(experiment: Experiment) -> dict[str, Any]:
    """Prepare the data of an experiment; returns where they are and how many rows each split has."""
    with progress_bar() as on_progress:
        folder, manifest = prepare_data(experiment, on_progress)
    rows = {split: sum(shard.num_rows for shard in shards) for split, shards in manifest.splits.items()}
    print(f"prepared in {folder}: {', '.join(f'{count:,} {split} rows' for split, count in rows.items())}", flush=True)
    print("\n".join(format_counts(manifest.counts)), end="\n" if manifest.counts else "", flush=True)
    return {"folder": str(folder), "rows": rows, **({"counts": manifest.counts} if manifest.counts else {})}
