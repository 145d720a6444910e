"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest
import yaml

from tests.conftest import TOY_TRAINING


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment's file: two epochs of the toy workload in local mode."""
    settings = {
        "workload": {"name": "toy", "num_rows": 32},
        "training": {**TOY_TRAINING, "epochs": 2},
        "scaling": {"num_workers": 0, "threads_per_worker": 1},
        "storage": {"path": str(tmp_path / "storage")},
        "tracking": {"run_name": "toy-run"},
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path
