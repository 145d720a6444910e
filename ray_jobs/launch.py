"""Launch: one Experiment becomes a Tune run of one trial (or a local training), and results on disk."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from ray_jobs.environment import describe_environment
from ray_jobs.experiment import Experiment
from ray_jobs.inputs import INPUTS, describe_inputs
from ray_jobs.lock import LOCK, locked
from ray_jobs.planning import OnProgress, build_plan
from ray_jobs.progress import describe_for
from ray_jobs.record import CONFIG, ENVIRONMENT, FINAL, Record
from ray_jobs.tracking.briefing import write_briefing
from ray_jobs.tracking.names import Identity, settle_identity
from ray_jobs.tracking.start import mirrored, mirroring_callbacks
from ray_jobs.yaml_reader import dump_yaml
from trainables.engine.loop import run_training
from trainables.engine.report import Report
from trainables.engine.stopping import withdraw_request
from trainables.plan import Plan
from trainables.storage import Folder
from trainables.train_worker import RunError, work_locally


class RunStoppedError(RuntimeError):
    """The run saved a checkpoint and ended because someone asked it to."""


@dataclass(frozen=True)
class Result:
    """A finished run."""

    run_id: str
    folder: Folder
    final: dict[str, Any]


def train(experiment: Experiment, *, on_progress: OnProgress | None = None, is_new: bool = False) -> Result:
    """Train to the end: begin, or go on where an interrupted run of the same settings stands.

    A run that is already finished is not trained again, unless `is_new` sets it aside.
    Raises ValueError for bad input, RunError when the run fails, RunStoppedError when it was asked to stop.
    """
    folder = experiment.folder
    folder.make()
    with locked(folder):
        folder.remove_temporary()
        if is_new:
            _set_aside(folder)
        _refuse_other_settings(experiment)
        lines = partial(describe_for, experiment.workload, experiment.training.batch_size)
        record = Record(folder, describe=lines)
        if folder.exists(FINAL):
            record.log(f"{experiment.run_id} is already finished; its results follow (--new trains it again)")
            return Result(experiment.run_id, folder, folder.read_json(FINAL))
        record.log(f"run {describe(experiment).name} in {folder}")
        plan = build_plan(experiment, on_progress)
        folder.write_json(INPUTS, describe_inputs(plan))
        try:
            _run(plan, record, experiment)
        except RunError as error:
            record.log(str(error), level="ERROR", prints=False)
            record.log(error.trace, level="ERROR", prints=False)
            raise
        if record.last and "stopped_by" in record.last:
            raise RunStoppedError(
                f"stopped by {record.last['stopped_by']} after step {record.last['step']}, with a checkpoint; the same "
                "command goes on with it"
            )
        return Result(experiment.run_id, folder, folder.read_json(FINAL))


def _run(plan: Plan, record: Record, experiment: Experiment) -> None:
    withdraw_request(plan.folder)
    if plan.scaling.num_workers == 0:
        _run_locally(plan, record, experiment)
        return
    from ray_jobs.tuning import run_trial

    with mirroring_callbacks(experiment, record) as trackers:
        run_trial(plan, record, trackers)


def _run_locally(plan: Plan, record: Record, experiment: Experiment) -> None:
    with mirrored(experiment, record) as mirror:

        def report(content: Report) -> None:
            record.apply(content)
            if mirror:
                mirror.wake()

        work_locally(plan, run_training, report)


def describe(experiment: Experiment) -> Identity:
    """Write into the run's folder what it is, and what it was made with; returns who it is."""
    folder, workload, tracking = experiment.folder, experiment.workload, experiment.tracking
    settings = experiment.model_dump(mode="json")
    folder.write_json(CONFIG, settings)
    write_briefing(experiment)
    folder.write("experiment.yaml", dump_yaml(settings).encode())
    folder.write_json(ENVIRONMENT, describe_environment(experiment.seed))
    return settle_identity(
        folder, workload.name_parts, given=tracking.run_name, group=tracking.group, tags=[workload.name]
    )


def _refuse_other_settings(experiment: Experiment) -> None:
    """A name given by the user may belong to a run with other settings."""
    folder = experiment.folder
    if not folder.exists(CONFIG):
        return
    before = _flatten({key: folder.read_json(CONFIG).get(key) for key in ("seed", "workload", "training")})
    now = _flatten(experiment.run.model_dump(mode="json"))
    changed = [
        f"  {key}: {before.get(key)!r} there, {now.get(key)!r} here"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]
    if changed:
        advice = "choose another tracking.run_name, or train it anew with --new"
        raise ValueError("\n".join([f"{folder} holds a run with other settings; {advice}:", *changed[:20]]))


def _flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(settings, dict):
        return {prefix: settings}
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _set_aside(folder: Folder) -> None:
    """Move what the folder holds into `<folder>/earlier/<n>`; nothing is deleted."""
    names = [name for name in folder.names() if name != "earlier" and not name.startswith(LOCK)]
    if names:
        target = f"earlier/{len(folder.names('earlier')) + 1:03d}"
        folder.fs.create_dir(folder.full(target), recursive=True)
        for name in names:
            folder.fs.move(folder.full(name), folder.full(f"{target}/{name}"))
