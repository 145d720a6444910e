"""The plan of one training, which the driver resolves before any worker starts; pickled to every worker."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from data_pipelines.contract.pipeline import Manifest
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder
from trainables.run import Run, Scaling
from trainables.workloads import Workload

if TYPE_CHECKING:
    from trainables.engine.files.histograms import Watch


@dataclass(frozen=True, repr=False)
class Plan:
    """One run, its folder, its prepared data, and the processes that train it."""

    run: Run
    workload: Workload
    """The parts of the run's workload, found by the driver, so that workers need no register."""
    run_id: str
    folder: Folder
    prepared: Folder
    manifest: Manifest
    feed: Literal["resident", "stream"]
    scaling: Scaling
    uses_gpu: bool
    num_threads: int
    """torch threads of each worker."""
    threads_reason: str = ""
    """Reason for that number, in words; empty on Ray, whose workers share the CPUs of their machine."""
    cache: FileCache | None = None
    """Cache of prepared data that do not lie on a local disk, on each machine."""
    watch: "Watch | None" = None
    """Histograms for a tracker."""
    awaits_checkpoints: bool = False
    """Whether every checkpoint is complete before the report of its step, which population-based training copies."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "Plan":
        return self

    def __repr__(self) -> str:
        return f"<plan of {self.run_id}>"
