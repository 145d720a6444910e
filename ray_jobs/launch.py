"""Launch: one Experiment becomes a Tune run of one trial (or a local training), and results on disk."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from ray_jobs.environment import describe_environment
from ray_jobs.experiment import Experiment
from ray_jobs.lock import LOCK, locked
from ray_jobs.planning import OnProgress, build_plan
from ray_jobs.progress import describe_for
from ray_jobs.record import FINAL, Record
from ray_jobs.yaml_reader import dump_yaml
from trainables.engine.loop import run_training
from trainables.plan import Plan
from trainables.storage import Folder
from trainables.train_worker import RunError, work_locally

CONFIG = "experiment.json"


@dataclass(frozen=True)
class Result:
    """A finished run."""

    run_id: str
    folder: Folder
    final: dict[str, Any]


def train(experiment: Experiment, *, on_progress: OnProgress | None = None, is_new: bool = False) -> Result:
    """Train to the end: begin, or go on where an interrupted run of the same settings stands.

    A run that is already finished is not trained again, unless `is_new` sets it aside.
    Raises ValueError for bad input, RunError when the run fails.
    """
    folder = experiment.folder
    folder.make()
    with locked(folder):
        folder.remove_temporary()
        if is_new:
            _set_aside(folder)
        _refuse_other_settings(experiment)
        describe = partial(describe_for, experiment.workload, experiment.training.batch_size)
        record = Record(folder, describe=describe)
        if folder.exists(FINAL):
            record.log(f"{experiment.run_id} is already finished; its results follow (--new trains it again)")
            return Result(experiment.run_id, folder, folder.read_json(FINAL))
        record.log(f"run {experiment.run_id} in {folder}")
        _describe(experiment)
        plan = build_plan(experiment, on_progress)
        try:
            _run(plan, record)
        except RunError as error:
            record.log(str(error), level="ERROR", prints=False)
            record.log(error.trace, level="ERROR", prints=False)
            raise
        return Result(experiment.run_id, folder, record.finish(experiment.run_id))


def _run(plan: Plan, record: Record) -> None:
    if plan.scaling.num_workers == 0:
        work_locally(plan, run_training, record.apply)
        return
    from ray_jobs.tuning import run_trial

    run_trial(plan, record)


def _describe(experiment: Experiment) -> None:
    folder = experiment.folder
    settings = experiment.model_dump(mode="json")
    folder.write_json(CONFIG, settings)
    folder.write("experiment.yaml", dump_yaml(settings).encode())
    folder.write_json("environment.json", describe_environment(experiment.seed))


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
