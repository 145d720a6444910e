"""Due actions: which boundary actions the cadences ask for after a step."""

from dataclasses import dataclass

from trainables.contract.training_config import Cadence, Training
from trainables.engine.loop.train_state import Position


@dataclass(frozen=True)
class DueActions:
    """Actions to take now, before the next step."""

    ends_epoch: bool
    ends_stage: bool
    is_last: bool
    """Whether the step is the last of the complete run."""
    logs: bool
    evaluates: bool
    draws: bool
    keeps_model: bool
    """Save a model version that is never deleted."""
    keeps_best: bool
    """Never delete the best version of the stage either."""
    saves: bool
    """Save a checkpoint."""

    def __bool__(self) -> bool:
        return any(vars(self).values())


def find_due_actions(
    training: Training, position: Position, *, ends_epoch: bool, ends_stage: bool, is_last: bool
) -> DueActions:
    """Return the actions that the cadences ask for at `position`, after its last step.

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
