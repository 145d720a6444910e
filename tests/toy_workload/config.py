"""Settings of the toy workload."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from examples.diabetes.diabetes.config import DiabetesConfig
from trainables.contract.workload_config import Mode


class ToyConfig(DiabetesConfig):
    """Fit y = sum(x) with a small network that has dropout, so that random states matter."""

    name: Literal["toy"] = "toy"
    num_rows: int = Field(default=64, ge=1)
    width: int = Field(default=8, ge=1)
    has_noise: bool = True
    """Batch norm and dropout between the layers."""
    swaps_layer_after_epoch: int | None = None
    """Replace the hidden layer by a narrower one, as pruning does."""
    rounds: int = Field(default=1, ge=1)
    """Stages; the hidden layer is narrowed before each but the first."""
    kill_file: str | None = None
    """When this file exists, the process is killed after the step whose number it holds, or gets the signals that
    follow the number, or raises an ERROR; the file is removed first."""
    reader_kill_file: str | None = None
    """While this file holds a number above 0, a process that decodes rows counts it down and is killed."""
    padding_bytes: int = Field(default=0, ge=0)
    """Added to every row when it is decoded, so that few rows fill a memory."""
    has_unused_parameter: bool = False
    """A trainable parameter that the loss does not depend on."""
    nan_at_row: int | None = None
    """A row whose target is not a number."""

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """Error on the test rows."""
        return {"test/mse": "min", "val/mse": "min", "test/mae": "min"}

    @property
    def num_stages(self) -> int:
        """One for each round."""
        return self.rounds
