"""What is due after a step."""

from dataclasses import dataclass

from trainables.contract.training_config import Cadence, Training
from trainables.engine.loop.train_state import Position


@dataclass(frozen=True)
class DueActions:
    """What has to happen now, before the next step."""

    ends_epoch: bool
    ends_stage: bool
    is_last: bool
    """Of the whole run."""
    logs: bool
    evaluates: bool
    draws: bool
    keeps_model: bool
    """Saves a model version that is never deleted."""
    keeps_best: bool
    """The best version of the stage is never deleted either."""
    saves: bool
    """A checkpoint."""

    def __bool__(self) -> bool:
        return any(vars(self).values())


def find_due_actions(
    training: Training, position: Position, *, ends_epoch: bool, ends_stage: bool, is_last: bool
) -> DueActions:
    """What the cadences of the settings ask for at `position`, whose last step is done.

    The end of a stage and of the run is evaluated and drawn whenever anything is.
    """
    is_end = is_last or ends_stage
    inside = training.checkpoint_every_steps
    saves_inside = inside is not None and position.step_in_epoch % inside == 0

    def is_due(cadence: Cadence | None, is_always: bool) -> bool:
        if cadence is None:
            return False
        return is_always or cadence.is_due(step=position.step, epoch=position.epoch, ends_epoch=ends_epoch)

    return DueActions(
        ends_epoch=ends_epoch,
        ends_stage=ends_stage,
        is_last=is_last,
        logs=position.step_in_epoch % training.log_every_steps == 0,
        evaluates=is_due(training.evaluate_every, is_end),
        draws=is_due(training.pictures_every, is_end),
        keeps_model=is_due(training.models_every, False) or (ends_stage and not is_last),
        keeps_best=ends_stage and not is_last,
        saves=saves_inside or is_due(training.checkpoint_every, False),
    )
