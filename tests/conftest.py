"""Fixtures of all tests: the toy workload in the register, small experiments, one Ray cluster for the session."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ray_jobs.settings.experiment import Experiment, check_settings
from tests.toy_workload import TOY
from trainables.workloads import WORKLOADS

os.environ.setdefault("OMP_NUM_THREADS", "1")
# a process that a shell starts in the background ignores Ctrl-C, and so would all that it starts
signal.signal(signal.SIGINT, signal.default_int_handler)
WORKLOADS["toy"] = TOY

TOY_TRAINING = {
    "epochs": 3,
    "batch_size": 8,
    "log_every_steps": 3,
    "checkpoint_every_steps": 3,
    "optimizer": {"learning_rate": 0.01},
    "ema": {"decay": 0.9},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `pytest tests/contract --workload NAME` check one workload, also one outside the project."""
    parser.addoption(
        "--workload",
        metavar="NAME",
        help="the workload that tests/contract checks: a registered name, package.module:NAME, or an experiment's file",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of several test processes one runs all that needs Ray, so that there is one cluster."""
    for item in items:
        name = "ray" if item.get_closest_marker("ray") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(name))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse versions of pytest and pytest-xdist that do not group tests together, which they say nothing of."""
    if session.config.getoption("loadgroup", False) and any("@" not in item.nodeid for item in session.items):
        raise pytest.UsageError("this pytest-xdist does not group tests under this pytest; take the pinned versions")


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

    from ray_jobs.cluster.connection import SETTINGS

    settings = {**SETTINGS, "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "40"}
    # Ray's workers give way to other processes, and the other test processes would leave them nothing
    os.environ.update(settings, RAY_worker_niceness="0")
    root = str(Path(__file__).resolve().parent.parent)
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=300 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {**settings, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}},
    )
    yield
    ray.shutdown()
