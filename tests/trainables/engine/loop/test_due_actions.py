"""What is due after a step, against a table written out by hand."""

import pytest

from trainables.contract.training_config import Training
from trainables.engine.loop.due_actions import DueActions, find_due_actions
from trainables.engine.loop.train_state import Position

EVERY_STEP = {"log_every_steps": 100, "evaluate_every": None, "pictures_every": None, "checkpoint_every": None}


def due(changes: dict, *, step_in_epoch: int, **at: bool) -> set[str]:
    training = Training(epochs=3, **{**EVERY_STEP, **changes})
    where = Position(epoch=2, step=10 + step_in_epoch, step_in_epoch=step_in_epoch)
    found = find_due_actions(training, where, **{"ends_epoch": False, "ends_stage": False, "is_last": False, **at})
    assert bool(found) == (found != DueActions(*[False] * 9))
    return {name for name, value in vars(found).items() if value}


@pytest.mark.parametrize(
    "changes, at, expected",
    [
        ({}, {"step_in_epoch": 3}, set()),
        ({"log_every_steps": 3}, {"step_in_epoch": 6}, {"logs"}),
        ({"evaluate_every": "4 steps"}, {"step_in_epoch": 6}, {"evaluates"}),  # step 16 of the run
        ({"pictures_every": "8 steps"}, {"step_in_epoch": 6}, {"draws"}),
        ({"models_every": "2 epochs"}, {"step_in_epoch": 10, "ends_epoch": True}, {"ends_epoch", "keeps_model"}),
        ({"models_every": "2 epochs"}, {"step_in_epoch": 6}, set()),
        ({"checkpoint_every": "1 epochs"}, {"step_in_epoch": 10, "ends_epoch": True}, {"ends_epoch", "saves"}),
        ({"evaluate_every": "3 epochs"}, {"step_in_epoch": 6, "is_last": True}, {"evaluates", "is_last"}),
        (
            {"pictures_every": "3 epochs"},
            {"step_in_epoch": 10, "ends_epoch": True, "ends_stage": True},
            {"ends_epoch", "ends_stage", "draws", "keeps_model", "keeps_best"},
        ),
        (
            {},
            {"step_in_epoch": 10, "ends_epoch": True, "ends_stage": True, "is_last": True},
            {"ends_epoch", "ends_stage", "is_last"},
        ),
    ],
)
def test_each_cadence_is_due_where_it_says(changes, at, expected):
    assert due(changes, **at) == expected
