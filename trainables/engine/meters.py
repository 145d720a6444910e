"""Per-step numbers, kept on the device until they are reduced over the workers into rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainables.engine.collectives import ProcessGroup
from trainables.engine.history import Row


class NonFiniteError(ArithmeticError):
    """A loss or gradient that is not a finite number; `rows` are those of the good steps before it."""

    def __init__(self, message: str, rows: Sequence[Row] = ()):
        super().__init__(message)
        self.rows = list(rows)


class StepMeter:
    """Collects scalars without synchronising; `flush` does one reduction for all steps since the last."""

    def __init__(self, collectives: ProcessGroup, *, stops_on_nonfinite: bool):
        self._collectives = collectives
        self._stops = stops_on_nonfinite
        self._names: tuple[str, ...] = ()
        self._values: list[Tensor] = []
        self._rows: list[Row] = []
        self.loss_sum = 0.0
        """Sum of the finite losses of the running epoch, for `train/epoch_loss`."""
        self.loss_count = 0

    def add(self, row: Row, values: Mapping[str, Tensor]) -> None:
        """`row` holds what the host knows (step, epoch, learning rate); `values` device scalars by metric name."""
        if not self._names:
            self._names = tuple(values)
        assert tuple(values) == self._names, f"the names of a step's metrics changed: {self._names}, {tuple(values)}"
        self._rows.append(row)
        self._values.append(torch.stack([value.detach().float().reshape(()) for value in values.values()]))

    def flush(self) -> list[Row]:
        """Rows with means over the workers. A collective. Raises NonFiniteError naming the first bad step.

        A value that is not finite is left out of its row.
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
        if bad and self._stops:
            raise NonFiniteError(
                f"{bad[0]} is not finite at step {row['step']} (epoch {row['epoch']}); try a lower learning rate or "
                "training.clip_norm, or set training.on_nonfinite=skip to leave such steps out",
                good,
            )
        row.update({name: value for name, value in zip(self._names, values, strict=True) if name not in bad})
        if "train/loss" in row:
            self.loss_sum += row["train/loss"]
            self.loss_count += 1

    def end_epoch(self) -> float | None:
        """The mean loss of the epoch that ends; starts the next."""
        mean = self.loss_sum / self.loss_count if self.loss_count else None
        self.loss_sum, self.loss_count = 0.0, 0
        return mean

    def state_dict(self) -> dict[str, Any]:
        """The running epoch's sums; call after `flush`."""
        return {"loss_sum": self.loss_sum, "loss_count": self.loss_count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put back `state_dict`."""
        self.loss_sum, self.loss_count = state["loss_sum"], state["loss_count"]
