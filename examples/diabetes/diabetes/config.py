"""Settings of the workload."""

from collections.abc import Mapping

from pydantic import Field

from trainables.contract.workload_config import Mode, WorkloadConfig


class DiabetesConfig(WorkloadConfig):
    """A network of one hidden layer."""

    width: int = Field(default=32, ge=1)
    """Hidden units."""
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """The mean squared error of the validation patients."""
        return {"val/mse": "min"}
