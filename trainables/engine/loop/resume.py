"""Start of a training: resume the newest undamaged checkpoint of its run, or begin."""

from data_pipelines.storage.folder import Folder
from trainables.engine.files.checkpoints import find_checkpoint, load_checkpoint
from trainables.engine.files.row_metrics import StepMeter
from trainables.engine.loop.evaluation import isolated_random
from trainables.engine.loop.train_state import TrainState
from trainables.engine.loop.worker_context import WorkerContext
from trainables.engine.loop.worker_reporter import WorkerReporter
from trainables.engine.process.determinism import seed_globals
from trainables.engine.step.train_step import Length, Optimization
from trainables.run import Run
from trainables.run_paths import CHECKPOINTS, MODELS


def measure_length(run: Run, steps_per_epoch: int) -> Length:
    """Return the training's length: `max_steps`, or all epochs of all stages; the last epoch may be cut short."""
    num_stages = run.workload.num_stages
    num_steps = run.training.max_steps or (run.training.epochs or 0) * num_stages * steps_per_epoch
    return Length(-(-num_steps // steps_per_epoch), steps_per_epoch, num_steps, num_stages)


def resume_or_begin(run: Run, worker: WorkerContext, length: Length, reporter: WorkerReporter) -> TrainState:
    """Build the training state from the newest undamaged checkpoint, or begin. All ranks call it.

    The reporter gets the checkpoint's name and messages, such as damaged checkpoints.
    """
    collectives = worker.collectives
    name, messages = collectives.broadcast(_find_newest(worker.folder) if collectives.rank == 0 else None)
    checkpoint = load_checkpoint(worker.folder, name) if name else None
    seed_globals(run.seed, collectives.rank)
    task = worker.build_task(run.workload, worker.data_spec, run.seed)
    task.on_start(collectives)
    if checkpoint:
        task.load_state_dict(checkpoint.state["task"])
    else:
        task.module.to(worker.device)
        with isolated_random():
            task.on_train_start(worker.start(run.seed))
            if run.training.evaluate_every is not None:
                task.prepare_evaluation(worker.start(run.seed))
    optimization = Optimization(
        task, run.training, length=length, device=worker.device, wrap=worker.wrap, is_sharded=worker.is_sharded
    )
    meter = StepMeter(
        collectives,
        stops_on_nonfinite=run.training.on_nonfinite == "stop",
        may_overflow=["train/grad_norm"] if optimization.scaler.is_enabled() else [],
    )
    state = TrainState(task, optimization, meter)
    if checkpoint:
        messages += state.restore(checkpoint, collectives, run.seed, f"{worker.folder}/{name}")
    reporter.set_resumed_from(name, state.position.step - len(state.position.waiting))
    reporter.log(messages)
    return state


def _find_newest(folder: Folder) -> tuple[str | None, list[str]]:
    for name in (CHECKPOINTS, MODELS):
        folder.remove_temporary(name)  # left by a writer that was killed
    return find_checkpoint(folder)
