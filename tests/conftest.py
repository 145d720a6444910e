"""Fixtures of all tests: the toy workload in the register, small experiments, one Ray cluster for the session."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.experiment import Experiment, check_settings
from trainables.workloads import WORKLOADS

os.environ.setdefault("OMP_NUM_THREADS", "1")
WORKLOADS["toy"] = "tests.toy_workload.config:ToyConfig"

TOY_TRAINING = {
    "epochs": 3,
    "batch_size": 8,
    "log_every_steps": 3,
    "checkpoint_every_steps": 3,
    "optimizer": {"learning_rate": 0.01},
    "ema": {"decay": 0.9},
}


@pytest.fixture
def toy(tmp_path: Path) -> Callable[..., Experiment]:
    """Builds toy experiments in local mode; keyword arguments replace whole sections."""

    def build(*, workload: dict[str, Any] | None = None, **sections: Any) -> Experiment:
        settings = {
            "workload": {"name": "toy", **(workload or {})},
            "training": {**TOY_TRAINING, **sections.pop("training", {})},
            "scaling": {"num_workers": 0, "threads_per_worker": 1, **sections.pop("scaling", {})},
            "storage": {"path": str(tmp_path)},
            **sections,
        }
        return check_settings(settings, origin="test")

    return build


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray cluster of two CPUs, shared by all tests that train on Ray."""
    import ray

    from ray_jobs.cluster import SETTINGS

    os.environ.update(SETTINGS)
    root = str(Path(__file__).resolve().parent.parent)
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=300 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {**SETTINGS, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()
