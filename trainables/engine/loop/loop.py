"""The training loop: epochs, steps, and the actions between them, for any workload.

resume the newest checkpoint, or task.on_train_start
for each epoch:
    for each step:
        augment -> task.loss -> backward -> clip -> optimiser -> schedule -> EMA -> task.on_step_end
        at a boundary (log, epoch end, cadence):
            rows <- meters, reduced once
            at the epoch's end: task.on_epoch_end
            evaluate, or have it done beside the training; visualise, save a model version
            at a stage's end: task.on_stage_start, with a fresh optimiser, schedule and EMA
            copy a checkpoint, also when the end of a machine is announced; it is written beside the coming steps
            one report: rows, metrics, panels, the checkpoint that is complete by now
            end here if the run was asked to stop
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from trainables.contract.task import Task
from trainables.contract.train_context import Progress
from trainables.engine.data.feed import MicroBatch
from trainables.engine.files.histograms import Watcher
from trainables.engine.files.history import Row
from trainables.engine.files.row_metrics import NonFiniteError
from trainables.engine.loop.due_actions import DueActions, find_due_actions
from trainables.engine.loop.evaluation import frozen, isolated_random, split_finite
from trainables.engine.loop.evaluation_beside import POLL_S, EvaluationBeside
from trainables.engine.loop.preemption import Interruption
from trainables.engine.loop.profiling import StepProfiler
from trainables.engine.loop.resume import measure_length, resume_or_begin
from trainables.engine.loop.selection import ModelSelection
from trainables.engine.loop.step_rows import StepRows, note_latest
from trainables.engine.loop.stopwatch import Stopwatch
from trainables.engine.loop.throughput import Utilization, name_speed
from trainables.engine.loop.train_state import Position, TrainState
from trainables.engine.loop.worker_context import CancelledError, WorkerContext
from trainables.engine.loop.worker_reporter import WorkerReporter
from trainables.engine.process.system_monitor import SystemMonitor, name_samples
from trainables.engine.step.precision import forward_in
from trainables.engine.step.train_step import StepPart
from trainables.run import Run


def run_training(run: Run, worker: WorkerContext) -> None:
    """Train from the newest checkpoint in the run's folder, if there is one, to the end or until asked to stop.

    All ranks call it.
    """
    loop = Loop(run, worker)
    with loop.reporter.forward_warnings(), loop.reporter.writing(), loop.monitor:
        loop.start()
        while not loop.is_over:
            loop.run_epoch()


class Loop:
    """One rank's training loop."""

    state: TrainState

    def __init__(self, run: Run, worker: WorkerContext):
        self.run, self.worker, self.training = run, worker, run.training
        self.length = measure_length(run, worker.feed.steps_per_epoch)
        worker.feed.num_steps = self.length.num_steps
        self.stopwatch = Stopwatch(self.training.batch_size)
        self.monitor = SystemMonitor(worker.device)
        is_first = worker.collectives.rank == 0
        self.utilization = Utilization(worker.device, self.training.precision, is_wanted=is_first)
        self.watcher = Watcher(worker.watch, is_writer=is_first)
        self.reporter = WorkerReporter(run, worker)
        self.rows = StepRows(run, self.reporter)
        self.profiler = StepProfiler(self.training.profile, worker, self.length.num_steps)
        self.selection = ModelSelection(run, worker, self.reporter)
        self.beside = EvaluationBeside(run, worker, self.reporter, self.selection)
        cadence = self.training.checkpoint_every
        self.interruption = Interruption(worker, self.reporter, cadence.seconds if cadence else None)
        self._visualised: Any = None

    @property
    def position(self) -> Position:
        return self.state.position

    @property
    def progress(self) -> Progress:
        """Position of the run, in the form that tasks get."""
        position, length = self.position, self.length
        return Progress(position.epoch, position.step, length.num_epochs, length.steps_per_epoch, length.num_stages)

    @property
    def is_over(self) -> bool:
        """Whether the run has reached its end or was asked to stop."""
        return self.position.is_finished or bool(self.interruption.stopped_by)

    def start(self) -> None:
        self.state = resume_or_begin(self.run, self.worker, self.length, self.reporter)
        for checkpoint in self.beside.find_lost(self.position):
            self.reporter.evaluated.add(checkpoint)
            self.reporter.set_checkpoint(checkpoint)
            self._send()
        self._send()

    # ---- steps

    def run_epoch(self) -> None:
        """Train from the run's position to the end of the epoch or of the run."""
        position = self.position
        epoch = position.epoch
        self.state.task.module.train()
        steps = self.worker.feed.epoch(epoch, position.step_in_epoch)
        for batches in self.stopwatch.time_waiting(steps):
            if self.worker.is_cancelled():
                raise CancelledError
            self.profiler.before(position.step + 1)
            self._step(batches)
            position.step += 1
            position.step_in_epoch += 1
            self._keep_profile()
            self.state.task.on_step_end(self.progress)
            self._boundary(self._find_due())
            if position.epoch != epoch or self.is_over:
                break
        steps.close()

    def _step(self, batches: Sequence[MicroBatch]) -> None:
        state, position = self.state, self.position
        parts = [self._part(batch) for batch in batches]
        row: Row = {
            "step": position.step + 1,
            "epoch": position.epoch,
            "train/epoch": position.epoch,
            **state.optimization.learning_rates,
        }
        on_gradients = partial(self.watcher.on_gradients, step=position.step + 1)
        with self.utilization.counting():
            means = state.optimization.step(parts, on_gradients)
        state.meter.add(row, means)

    def _keep_profile(self) -> None:
        found = self.profiler.after(self.position.step)
        if found is not None:
            table, words = found
            self.reporter.save_panels([table], self.state)
            self.reporter.log([words])

    def _part(self, batch: MicroBatch) -> StepPart:
        feed, position = self.worker.feed, self.position
        place = (position.epoch, position.step_in_epoch, batch.places)
        changed = self.worker.pipeline.augment(batch.content, draws=feed.draws("augment", *place))
        return StepPart(changed, feed.draws("loss", *place), feed.weigh(batch))

    # ---- between steps

    def _boundary(self, due: DueActions) -> None:
        if not due:
            return
        position = self.position
        try:
            rows = self.rows.reduce(self.state)
        except NonFiniteError:
            self._send()
            raise
        self.reporter.set_epoch_means(self.state.meter.epoch_means())
        if due.ends_epoch:
            self._end_epoch(rows[-1])
        with self.stopwatch.paused():
            self._settle(due)
            is_over = self.selection.is_over(position)
            runs_beside = self.beside.takes(due) and not is_over
            is_best = False
            if runs_beside:
                self.beside.request(position, is_kept=due.keeps_model)
            elif due.evaluates or is_over:
                is_best = self._evaluate(rows[-1])
            position.is_finished = due.is_last or is_over or self.selection.is_over(position)
            if due.draws:
                self._draw()
            self.rows.close(self.state, rows[-1])
            if is_best or position.is_finished or (due.keeps_model and not runs_beside):
                aliases = ["latest", "best"] if is_best else ["latest"]
                self.reporter.save_model(self.state, aliases, is_kept=due.keeps_model, keeps_best=due.keeps_best)
            if due.ends_epoch and not position.is_finished:
                position.epoch, position.step_in_epoch = position.epoch + 1, 0
                if due.ends_stage:
                    self._begin_stage(rows[-1])
            self.reporter.add_panels(self.watcher.save(self.worker.folder, position.epoch))
            self.rows.keep(self.state, rows)
            interruption = self.interruption
            interruption.poll(is_finished=position.is_finished)
            if due.saves or runs_beside or position.is_finished or interruption.saves:
                with self.stopwatch.saving():
                    self.reporter.save_checkpoint(self.state)
                interruption.note_saved()
            else:
                self.reporter.reserve_checkpoints(self.state)
            if position.is_finished or due.ends_stage or interruption.is_urgent:
                self.reporter.wait_for_checkpoint()
            if position.is_finished:
                self.beside.forget()
        self._send()

    def _settle(self, due: DueActions) -> None:
        """Take what was evaluated beside the training; it must be there before the next evaluation, and at an end.

        Who asks for a stop before the next evaluation does not wait: both are then to come in the resumed run.
        """
        if not self.position.evaluations:
            return
        with self.stopwatch.evaluating():
            if self.beside.settle(self.position) or not (due.evaluates or due.ends_stage or due.is_last):
                return
            self.reporter.log(self.beside.words_of_waiting(due))
            self.reporter.wait_for_checkpoint()  # perhaps the one to evaluate
            self._send()  # the driver hears of it before the training stands still
            while not self.beside.settle(self.position, is_awaited=True):
                self.interruption.poll(is_finished=due.is_last)
                if self.interruption.is_urgent and self.beside.takes(due):
                    return
                time.sleep(POLL_S)

    def _find_due(self) -> DueActions:
        position, ends_epoch = self.position, self.position.step_in_epoch == self.length.steps_per_epoch
        ends_stage, is_last = ends_epoch and self.progress.ends_stage, position.step >= self.length.num_steps
        return find_due_actions(self.training, position, ends_epoch=ends_epoch, ends_stage=ends_stage, is_last=is_last)

    def _end_epoch(self, row: Row) -> None:
        self.rows.end_epoch(self.state, row)
        if type(self.state.task).on_epoch_end is Task.on_epoch_end:
            return
        with self.state.optimization.complete_module():
            if self.state.task.on_epoch_end(self.progress):
                self._rebuild()

    def _begin_stage(self, row: Row) -> None:
        """Start the next stage: the task's metrics go to the last row of the old one, and `best` is forgotten."""
        optimization = self.state.optimization
        with optimization.complete_module():
            with isolated_random():
                found = self.state.task.on_stage_start(self.progress.stage, self.worker.start(self.run.seed))
            self._rebuild(is_new_stage=True)
        metrics, messages = split_finite(found)
        row.update(metrics)
        note_latest(self.state, metrics)
        self.reporter.log(messages)
        self.selection.forget(self.position)

    def _rebuild(self, *, is_new_stage: bool = False) -> None:
        self.state.optimization.rebuild(is_new_stage=is_new_stage)
        self.utilization.forget()

    def _evaluate(self, row: Row) -> bool:
        """Merge the evaluation into the row; returns whether this is the best model so far."""
        with self.stopwatch.evaluating():
            metrics, is_best = self.selection.evaluate(self.state)
        row.update(metrics)
        return is_best

    def _draw(self) -> None:
        module = self.state.optimization.complete_evaluated()
        if self.worker.collectives.rank == 0:
            with frozen(module), forward_in(self.training.precision, module, self.worker.device):
                panels = self.state.task.visualise(module, self._fixed_batch(), self.progress, self.worker.device)
            self.reporter.save_panels(panels, self.state)

    def _fixed_batch(self) -> Any:
        task = self.state.task
        if task.visualised_split is None:
            return None
        if self._visualised is None:
            self._visualised = self.worker.feed.first_rows(task.visualised_split, task.num_visualised)
        return self._visualised

    def _send(self) -> None:
        position = self.position
        samples = self.worker.collectives.gather_values(self.monitor.lap())
        speed = self.stopwatch.lap()
        mfu = self.utilization.ratio(speed["step_s"])
        self.reporter.send(
            {
                "metrics": dict(position.latest),
                "epoch": position.epoch,
                "step": position.step,
                "step_in_epoch": position.step_in_epoch,
                "num_epochs": self.length.num_epochs,
                "num_steps": self.length.num_steps,
                "steps_per_epoch": self.length.steps_per_epoch,
                "samples_per_epoch": self.worker.feed.samples_per_epoch,
                "learning_rate": self.state.optimization.learning_rate,
                "speed": speed,
                "is_finished": position.is_finished,
                "system": {**name_samples(dict(enumerate(samples))), **name_speed(speed, mfu)},
            }
        )
