"""What rank 0 tells the driver: plain data only, so that it passes through any transport."""

from typing import NotRequired, TypedDict

from trainables.engine.files.history import Row


class Speed(TypedDict):
    """Measured since the last report on rank 0."""

    samples_per_s: float
    step_s: float
    data_wait_ratio: float
    """Share of the stepping time that was spent waiting for the next batch."""
    peak_memory_mib: float
    computing_s: float
    """Seconds of stepping without those of waiting."""
    waiting_s: float
    evaluation_s: float
    """0 when nothing was evaluated."""


class RunPosition(TypedDict):
    """Where the run stands."""

    metrics: dict[str, float]
    """The latest value of every metric."""
    epoch: int
    step: int
    step_in_epoch: int
    """0 when an epoch begins."""
    num_epochs: int
    num_steps: int
    steps_per_epoch: int
    samples_per_epoch: int
    learning_rate: float
    """Of the coming step."""
    speed: Speed
    is_finished: bool
    system: dict[str, float]
    """What the ranks' machines were doing since the last report, as `system/rank_R/<name>`; no part of the rows, which
    a resumed run repeats to the bit."""


class WorkerReport(RunPosition):
    """One message of rank 0."""

    rows: list[Row]
    """Rows since the last report, one per optimiser step."""
    epoch_means: dict[str, float]
    """Means over the steps of the last row's epoch so far, of all that is measured in every step."""
    panels: list[str]
    """Files in the run's folder that describe pictures and tables."""
    messages: list[str]
    """Lines for the log, warnings among them."""
    resumed_from: NotRequired[str | None]
    """Only in the first report of a start: the checkpoint's name in the run's folder, or None for a fresh start."""
    checkpoint: NotRequired[str]
    model: NotRequired[str]
    """A new model version, with its `aliases`."""
    aliases: NotRequired[list[str]]
    stopped_by: NotRequired[str]
    """Only in the last report of a training that was asked to stop before its end: by whom."""
