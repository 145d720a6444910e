"""Training state: everything that changes while a run trains, captured in a checkpoint and restored from it."""

from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

import torch

from trainables.contract.task import Task
from trainables.engine.files.checkpoints import Checkpoint
from trainables.engine.files.history import History, Row
from trainables.engine.files.row_metrics import StepMeter
from trainables.engine.process.collectives import ProcessGroup
from trainables.engine.process.determinism import capture_random_states, restore_random_states, seed_globals
from trainables.engine.step.train_step import Optimization


class Evaluated(TypedDict):
    """Evaluation beside the training that was asked for."""

    step: int
    """Step whose checkpoint is evaluated."""
    is_kept: bool
    """Whether its model version is never deleted."""


@dataclass
class Position:
    """Position of the run."""

    epoch: int = 1
    """The running epoch, from 1."""
    step: int = 0
    """Optimiser steps done."""
    step_in_epoch: int = 0
    best: float | None = None
    """The selection metric's best value so far."""
    stale_evaluations: int = 0
    """Evaluations since the best value improved, by more than `early_stopping.min_delta` if that is set."""
    latest: dict[str, float] = field(default_factory=dict)
    """The last value of every metric."""
    is_finished: bool = False
    evaluations: list[Evaluated] = field(default_factory=list)
    """Evaluations beside the training whose metrics have not come, in order of steps."""
    waiting: list[Row] = field(default_factory=list)
    """Rows from the first of these steps on, which become part of the record with their metrics."""


@dataclass
class TrainState:
    """Training state of one rank."""

    task: Task
    optimization: Optimization
    meter: StepMeter
    history: History = field(default_factory=History)
    position: Position = field(default_factory=Position)

    def capture(self, collectives: ProcessGroup) -> Checkpoint:
        """Return this rank's content of a checkpoint, which the next step changes.

        A collective: the random states of all ranks are gathered.
        """
        random_states = collectives.gather_values(capture_random_states())
        model, ema = self.optimization.weights()
        return Checkpoint(
            model=model,
            ema=ema,
            state={
                "task": self.task.state_dict(),
                "learner": self.optimization.state_dict(),
                "meter": self.meter.state_dict(),
                "position": asdict(self.position),
                "random_states": random_states,
                "num_threads": torch.get_num_threads(),
            },
            history=self.history.content,
        )

    def restore(self, checkpoint: Checkpoint, collectives: ProcessGroup, seed: int, origin: str) -> list[str]:
        """Restore a checkpoint; the task's own state was loaded before. Returns messages for the log.

        The run's seed is used only when the number of workers has changed. Raises ValueError naming `origin` when the
        architecture differs.
        """
        state = checkpoint.state
        self.optimization.load(checkpoint.model, checkpoint.ema, state["learner"], origin)
        self.meter.load_state_dict(state["meter"])
        self.position = Position(**state["position"])
        self.history = History(checkpoint.history)
        return [*self._restore_random(state["random_states"], collectives, seed), *_warn_of_threads(state)]

    def _restore_random(self, states: list[dict[str, Any]], collectives: ProcessGroup, seed: int) -> list[str]:
        if len(states) == collectives.world_size:
            restore_random_states(states[collectives.rank])
            return []
        seed_globals(seed + self.position.step, collectives.rank)
        return [
            f"the checkpoint was written by {len(states)} workers and goes on with {collectives.world_size}: batches, "
            "crops, augmentation and noise stay as they are; dropout draws other numbers than without the change"
        ]


def _warn_of_threads(state: dict[str, Any]) -> list[str]:
    before, now = state["num_threads"], torch.get_num_threads()
    if before == now:
        return []
    return [
        f"the checkpoint was written with {before} torch threads and goes on with {now}; results may differ in the "
        f"last bit (set scaling.threads_per_worker={before} to keep them)"
    ]
