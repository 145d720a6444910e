"""The plan of one training: what the driver has settled before any worker starts; pickled to every worker."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from data_pipelines.contract.pipeline import Manifest
from data_pipelines.storage.folder import Folder
from trainables.run import Run, Scaling

if TYPE_CHECKING:
    from trainables.engine.files.histograms import Watch


@dataclass(frozen=True)
class Plan:
    """One run, its folder, its prepared data, and the processes that train it."""

    run: Run
    run_id: str
    folder: Folder
    prepared: Path
    manifest: Manifest
    feed: Literal["resident", "stream"]
    scaling: Scaling
    uses_gpu: bool
    num_threads: int
    """torch threads of each worker."""
    threads_reason: str = ""
    """What decided their number, in words; empty on Ray, whose workers share the CPUs of their machine."""
    watch: "Watch | None" = None
    """Histograms for a tracker."""
