"""Small searches over the toy workload."""

from collections.abc import Callable
from typing import Any

import pytest

from ray_jobs.search.sweep_plan import SweepPlan, build_sweep_plan

RATE = "training.optimizer.learning_rate"


@pytest.fixture
def search(toy) -> Callable[..., SweepPlan]:
    """Builds a search; keyword arguments are its settings, `training` and `scaling` those of the experiment."""

    def build(*, workload: dict[str, Any] | None = None, label: str = "toy", **settings: Any) -> SweepPlan:
        sections = {name: settings.pop(name) for name in ("training", "scaling", "tracking") if name in settings}
        sections.setdefault("scaling", {"num_workers": 1})
        experiment = toy(workload=workload, search=settings, **sections)
        return build_sweep_plan(experiment, label)

    return build
