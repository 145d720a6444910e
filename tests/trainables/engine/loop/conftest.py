"""Trainings that are evaluated beside."""

from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest

from tests.trainables.engine.loop.runs_beside import Beside
from trainables.engine.loop import loop
from trainables.ray_train import validation


@pytest.fixture
def beside(toy, monkeypatch) -> Callable[..., Beside]:
    monkeypatch.setattr(validation, "time", MagicMock())

    def build(late: int = 0, name: str = "beside", workload: dict[str, Any] | None = None, **training: Any) -> Beside:
        built = Beside(toy(workload=workload, tracking={"run_name": name}), late, **training)

        def pause(seconds: float) -> None:
            assert built._due, "the training waits for what nobody was asked for"
            built.evaluate_rest()

        monkeypatch.setattr(loop.time, "sleep", pause)
        return built

    return build
