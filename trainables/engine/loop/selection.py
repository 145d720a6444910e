"""Model selection: the best of the evaluated models so far, and early stopping."""

from trainables.engine.loop.evaluation import goal_value, run_evaluation, split_finite
from trainables.engine.loop.train_state import Position, TrainState
from trainables.engine.loop.worker_context import WorkerContext
from trainables.engine.loop.worker_reporter import WorkerReporter
from trainables.run import Run


class ModelSelection:
    """Selection by the workload's metric; a stage, such as a round of pruning, has a best model of its own."""

    def __init__(self, run: Run, worker: WorkerContext, reporter: WorkerReporter):
        self._goal, self._stopping = run.workload.selection_metric, run.training.early_stopping
        self._worker, self._reporter = worker, reporter

    def evaluate(self, state: TrainState) -> tuple[dict[str, float], bool]:
        """Evaluate the current model; returns the finite metrics, and whether it is the best so far. A collective."""
        worker, optimization = self._worker, state.optimization
        evaluation = run_evaluation(
            state.task,
            optimization.complete_evaluated(),
            worker.feed,
            worker.collectives,
            worker.device,
            precision=optimization.training.precision,
        )
        metrics, messages = split_finite(evaluation.metrics)
        self._reporter.log(messages)
        self._reporter.save_panels(evaluation.panels, state)
        return metrics, self.judge(goal_value(evaluation, self._goal), state.position)

    def judge(self, value: float, position: Position) -> bool:
        """Return whether an evaluation's value is the best so far, and keep it if so."""
        min_delta = self._stopping.min_delta if self._stopping else 0.0
        resets = self._goal.is_better(value, position.best, min_delta)
        position.stale_evaluations = 0 if resets else position.stale_evaluations + 1
        is_best = self._goal.is_better(value, position.best)
        position.best = value if is_best else position.best
        return is_best

    def stops(self, position: Position) -> bool:
        """Return whether early stopping ends the run here."""
        return self._stopping is not None and position.stale_evaluations >= self._stopping.patience

    def is_over(self, position: Position) -> bool:
        """Return whether early stopping ends the run here, and log it if so."""
        if self._stopping is None or not self.stops(position):
            return False
        patience = self._stopping.patience
        self._reporter.log([f"stopped early: no better {self._goal.metric} in {patience} evaluations"])
        return True

    def forget(self, position: Position) -> None:
        """Forget the best value at the start of a new stage."""
        position.best, position.stale_evaluations = None, 0
