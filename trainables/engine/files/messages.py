"""Messages of rank 0 to the driver: plain data only, so that any transport can carry them."""

from typing import NotRequired, TypedDict

from trainables.engine.files.history import Row


class Saved(TypedDict):
    """Time of a checkpoint, where one was saved since the last report."""

    checkpoint_s: NotRequired[float]
    """Seconds of the training that it took."""


class Speed(Saved):
    """Speed measured on rank 0 since the last report."""

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
    """Position of a run: epoch, step, latest metrics and speed."""

    metrics: dict[str, float]
    """The latest value of every metric."""
    epoch: int
    step: int
    step_in_epoch: int
    """0 at the start of an epoch."""
    num_epochs: int
    num_steps: int
    steps_per_epoch: int
    samples_per_epoch: int
    learning_rate: float
    """Learning rate of the coming step."""
    speed: Speed
    is_finished: bool
    system: dict[str, float]
    """System metrics of every rank's machine since the last report, as `system/rank_R/<name>`, and the speed as
    `system/<name>`; kept out of the rows, which a resumed run repeats bit for bit."""


class WorkerReport(RunPosition):
    """One message of rank 0."""

    rows: list[Row]
    """Rows that the record gets, one per optimiser step: those since the last report, without those that wait for an
    evaluation."""
    newest_row: NotRequired[Row]
    """The row of the newest step, where it waits for an evaluation of an earlier one."""
    epoch_means: dict[str, float]
    """Means over the steps so far of the last row's epoch, for all metrics measured in every step."""
    panels: list[str]
    """Description files of pictures and tables, in the run's folder."""
    messages: list[str]
    """Lines for the log, including warnings."""
    resumed_from: NotRequired[str | None]
    """Only in the first report of a start: the checkpoint's name in the run's folder, or None for a fresh start."""
    recorded_step: NotRequired[int]
    """Only with `resumed_from`: the last step whose row the record has; those of later ones wait for an evaluation."""
    checkpoint: NotRequired[str]
    """The newest checkpoint that was completed since the last report; it may be of an earlier step."""
    evaluates: NotRequired[bool]
    """Whether the checkpoint is to be evaluated beside the training."""
    model: NotRequired[str]
    """A new model version, with its `aliases`."""
    aliases: NotRequired[list[str]]
    stopped_by: NotRequired[str]
    """Only in the last report of a training that was stopped on request: the author of the request."""
