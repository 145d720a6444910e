"""An experiment's file."""

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text("workload: {name: toy}\ntraining: {epochs: 2, optimizer: {learning_rate: 1e-3}}\n")
    return path
