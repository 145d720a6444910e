"""Per-step metrics, kept on the device until they are reduced over the workers into rows."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainables.engine.files.history import Row
from trainables.engine.process.collectives import ProcessGroup


class NonFiniteError(ArithmeticError):
    """A loss or gradient that is not a finite number; `rows` are those of the good steps before it."""

    def __init__(self, message: str, rows: Sequence[Row] = ()):
        super().__init__(message)
        self.rows = list(rows)


class StepMeter:
    """Meter of scalars per step that does not synchronise; `flush` does one reduction for all steps since the last."""

    def __init__(self, collectives: ProcessGroup, *, stops_on_nonfinite: bool, may_overflow: Collection[str] = ()):
        """Start without steps.

        With `stops_on_nonfinite`, `flush` raises on a value that is not finite, except of metrics that `may_overflow`,
        such as the gradient norm of a step that a gradient scaler skips.
        """
        self._collectives = collectives
        self._stops, self._may_overflow = stops_on_nonfinite, may_overflow
        self._names: tuple[str, ...] = ()
        self._values: list[Tensor] = []
        self._rows: list[Row] = []
        self._sums: dict[str, float] = {}
        """Sum of the finite values in the running epoch, by name."""
        self._counts: dict[str, int] = {}

    def add(self, row: Row, values: Mapping[str, Tensor]) -> None:
        """Add a step: `row` holds host values (step, epoch, learning rate), `values` device scalars by metric name."""
        if not self._names:
            self._names = tuple(values)
        assert tuple(values) == self._names, f"the names of a step's metrics changed: {self._names}, {tuple(values)}"
        self._rows.append(row)
        self._values.append(torch.stack([value.detach().float().reshape(()) for value in values.values()]))

    def flush(self) -> list[Row]:
        """Return the rows since the last call, with means over the workers. A collective.

        A value that is not finite is left out of its row. Raises NonFiniteError naming the first bad step.
        """
        if not self._rows:
            return []
        total = self._collectives.sum(torch.stack(self._values)) / self._collectives.world_size
        rows = self._rows
        for number, (row, values) in enumerate(zip(rows, total.tolist(), strict=True)):
            self._add_values(row, values, rows[:number])
        self._rows, self._values = [], []
        return rows

    def _add_values(self, row: Row, values: list[float], good: Sequence[Row]) -> None:
        bad = [name for name, value in zip(self._names, values, strict=True) if not math.isfinite(value)]
        fatal = [name for name in bad if name not in self._may_overflow]
        if fatal and self._stops:
            raise NonFiniteError(
                f"{fatal[0]} is not finite at step {row['step']} (epoch {row['epoch']}); try a lower learning rate or "
                "training.clip_norm, or set training.on_nonfinite=skip to leave such steps out",
                good,
            )
        finite = {name: value for name, value in zip(self._names, values, strict=True) if name not in bad}
        row.update(finite)
        for name, value in finite.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1

    def epoch_means(self) -> dict[str, float]:
        """Return the means of the running epoch so far, by name; call after `flush`."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def end_epoch(self) -> dict[str, float]:
        """Return the means of the epoch that ends, and start the next."""
        means = self.epoch_means()
        self._sums, self._counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """Return the running epoch's sums; call after `flush`."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])
