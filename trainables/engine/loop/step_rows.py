"""Rows of the steps between two boundaries, under the workload's names, on their way into the record."""

import math
from collections.abc import Mapping

from trainables.engine.files.history import Row
from trainables.engine.files.row_metrics import NonFiniteError
from trainables.engine.loop.train_state import TrainState
from trainables.engine.loop.worker_reporter import WorkerReporter
from trainables.run import Run


class StepRows:
    """Rows of one rank, which the reporter gets once they are complete."""

    def __init__(self, run: Run, reporter: WorkerReporter):
        self._names, self._reporter = run.workload.metric_names, reporter

    def reduce(self, state: TrainState) -> list[Row]:
        """Reduce the metrics of the steps since the last boundary to rows; the evaluation is merged into the last.

        A collective.

        Raises:
            NonFiniteError: A metric is not finite; the reporter has the rows up to it.
        """
        try:
            return [self._named(row) for row in state.meter.flush()]
        except NonFiniteError as error:
            self._reporter.add_rows([*state.position.waiting, *(self._named(row) for row in error.rows)])
            raise

    def end_epoch(self, state: TrainState, row: Row) -> None:
        """Add the means of the epoch that ends to its last row."""
        for name, mean in state.meter.end_epoch().items():
            if name != "train/grad_norm":
                row[self._name(f"train/epoch_{name.removeprefix('train/')}")] = mean

    def close(self, state: TrainState, row: Row) -> None:
        """Complete the last row, whose values are now the latest."""
        if state.optimization.num_skipped:
            row["train/skipped_steps"] = state.optimization.num_skipped
        note_latest(state, row)

    def keep(self, state: TrainState, rows: list[Row]) -> None:
        """Give the record all rows up to the first that waits for its evaluation."""
        position = state.position
        waiting = [*position.waiting, *rows]
        until = position.evaluations[0]["step"] if position.evaluations else math.inf
        complete = [row for row in waiting if row["step"] < until]
        position.waiting = waiting[len(complete) :]
        if position.waiting:
            self._reporter.set_newest_row(position.waiting[-1])
        state.history.append(complete)
        self._reporter.add_rows(complete)

    def _named(self, row: Row) -> Row:
        return {self._name(name): value for name, value in row.items()}

    def _name(self, metric: str) -> str:
        return self._names.get(metric, metric)


def note_latest(state: TrainState, metrics: Mapping[str, float]) -> None:
    """Make these values the latest ones of the run."""
    state.position.latest.update({name: value for name, value in metrics.items() if name not in ("step", "epoch")})
