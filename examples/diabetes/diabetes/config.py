"""Settings of the workload."""

from pydantic import Field

from trainables.contract.workload_config import SelectionMetric, WorkloadConfig


class DiabetesConfig(WorkloadConfig):
    """A network of one hidden layer."""

    width: int = Field(default=32, ge=1)
    """Hidden units."""
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def selection_metric(self) -> SelectionMetric:
        """The mean squared error of the validation patients."""
        return SelectionMetric(metric="val/mse", mode="min")
