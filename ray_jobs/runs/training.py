"""Launch of an Experiment, as a Tune run of one trial or as a local training, with results on disk."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from data_pipelines.storage.folder import Folder
from ray_jobs.cluster.ray_logs import capture_ray_logs
from ray_jobs.console import Console, format_counts
from ray_jobs.exit_codes import STOPPED
from ray_jobs.run_folder.environment import describe_environment
from ray_jobs.run_folder.identity import Identity, JobType, resolve_identity
from ray_jobs.run_folder.inputs import INPUTS, describe_inputs, refuse_other_inputs
from ray_jobs.run_folder.run_lock import LOCK, locked
from ray_jobs.run_folder.run_recorder import CONFIG, ENVIRONMENT, FINAL, RunRecorder, find_last_row
from ray_jobs.runs.model_references import RUNS
from ray_jobs.runs.planning import OnProgress, build_plan, prepare_data, refuse_bad_inputs
from ray_jobs.runs.setting_differences import refuse_differences, without_places
from ray_jobs.runs.stop_signals import stopping_on_signals
from ray_jobs.settings.experiment import Experiment
from ray_jobs.settings.strict_yaml import dump_yaml
from ray_jobs.tracking.mirror_files import write_mirror_config
from ray_jobs.tracking.mirror_handle import mirror_run
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop.loop import run_training
from trainables.plan import Plan
from trainables.ray_train.worker_main import RunError, run_locally
from trainables.run_paths import CHECKPOINTS

OnReport = Callable[[WorkerReport], object]


class RunStoppedError(RuntimeError):
    """End of a run or search on request, with a checkpoint saved; `exit_code` is that of the command."""

    def __init__(self, message: str, exit_code: int = STOPPED):
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Result:
    """Finished run."""

    run_id: str
    folder: Folder
    final: dict[str, Any]


def train(
    experiment: Experiment,
    *,
    on_progress: OnProgress | None = None,
    on_report: OnReport | None = None,
    is_new: bool = False,
) -> Result:
    """Train to the end: begin, or resume an interrupted run of the same settings.

    A run that is already finished is not trained again; `is_new` sets an earlier run aside, finished or not.
    `on_progress` is that of `prepare_data`, and `on_report` is called with each report, before its lines are printed.

    Returns:
        The finished run.

    Raises:
        ValueError: Bad input.
        RunError: The run fails.
        RunStoppedError: The run was asked to stop.
    """
    folder = experiment.folder
    refuse_bad_inputs(experiment, is_new=is_new)
    with without_trace_of_refusal(experiment), locked(folder), ExitStack() as stack:
        folder.remove_temporary()
        if is_new:
            set_aside(folder)
        _refuse_other_settings(experiment)
        record = RunRecorder(
            folder,
            describe=_describe_reports(experiment, on_report),
            log_format=experiment.tracking.log_format,
        )
        stack.enter_context(closing(record))
        if folder.exists(FINAL):
            if _has_moved(experiment):
                prepared, manifest = prepare_data(experiment, on_progress)
                refuse_other_inputs(folder, describe_inputs(experiment.workload, prepared, manifest))
            record.log(f"{experiment.run_id} is already finished (train it with --new to repeat it)")
            return Result(experiment.run_id, folder, folder.read_json(FINAL))
        record.log(f"run {describe(experiment).name} in {folder}")
        plan = build_plan(experiment, on_progress)
        if plan.threads_reason:
            record.log(f"torch threads: {plan.num_threads} ({plan.threads_reason})")
        for line in format_counts(plan.manifest.counts):
            record.log(line)
        inputs = describe_inputs(experiment.workload, plan.prepared, plan.manifest)
        if folder.names(CHECKPOINTS):
            refuse_other_inputs(folder, inputs)
        folder.write_json(INPUTS, inputs)
        with logging_errors(record), stopping_on_signals(folder) as signals:
            _run(plan, record, experiment)
        if record.last and "stopped_by" in record.last:
            raise RunStoppedError(
                f"stopped by {record.last['stopped_by']} after step {record.last['step']}, with a checkpoint; the same "
                "command goes on with it",
                signals.exit_code,
            )
        return Result(experiment.run_id, folder, folder.read_json(FINAL))


def _describe_reports(experiment: Experiment, on_report: OnReport | None) -> Callable[[WorkerReport], Sequence[str]]:
    find_row = partial(find_last_row, experiment.folder)
    console = Console(experiment.workload, experiment.training.batch_size, find_row)

    def describe_report(report: WorkerReport) -> Sequence[str]:
        if on_report is not None:
            on_report(report)
        return console(report)

    return describe_report


def _run(plan: Plan, record: RunRecorder, experiment: Experiment) -> None:
    if plan.scaling.num_workers == 0:
        _run_locally(plan, record, experiment)
        return
    from ray_jobs.runs.tune_run import run_trial
    from ray_jobs.tracking.callback import run_callbacks

    with capture_ray_logs(record.append_log), run_callbacks(experiment, record) as trackers:
        run_trial(plan, record, trackers)


def _run_locally(plan: Plan, record: RunRecorder, experiment: Experiment) -> None:
    with mirror_run(experiment, record) as mirror:

        def report(content: WorkerReport) -> None:
            record.apply(content)
            if mirror:
                mirror.notify()

        try:
            run_locally(plan, run_training, report)
        finally:
            record.flush()


def describe(experiment: Experiment, job_type: JobType = "train") -> Identity:
    """Write settings, mirror config, environment and identity into the run's folder; returns the identity."""
    folder, workload, tracking = experiment.folder, experiment.workload, experiment.tracking
    settings = experiment.model_dump(mode="json")
    folder.write_json(CONFIG, settings)
    write_mirror_config(experiment)
    folder.write("experiment.yaml", dump_yaml(settings).encode())
    folder.write_json(ENVIRONMENT, describe_environment(experiment.seed))
    tags = [workload.label, *(["sweep"] if job_type == "sweep" else [])]
    return resolve_identity(
        folder, workload.run_name_parts, given=tracking.run_name, group=tracking.group, job_type=job_type, tags=tags
    )


def _refuse_other_settings(experiment: Experiment) -> None:
    """Raise ValueError when a name given by the user belongs to a run with other settings."""
    folder = experiment.folder
    if not folder.exists(CONFIG):
        return
    words = f"{folder} holds a run with other settings; choose another tracking.run_name, or train it anew with --new"
    refuse_differences(
        words, without_places(folder.read_json(CONFIG)), without_places(experiment.run.model_dump(mode="json"))
    )


def _has_moved(experiment: Experiment) -> bool:
    """Return whether the settings name data or models at other places than those that the run began with."""
    here = experiment.run.model_dump(mode="json")
    return any(experiment.folder.read_json(CONFIG).get(name) != value for name, value in here.items())


def set_aside(folder: Folder) -> None:
    """Move what the folder holds into `<folder>/earlier/<n>`; nothing is deleted."""
    names = [name for name in folder.names() if name != "earlier" and not name.startswith(LOCK)]
    if names:
        target = f"earlier/{len(folder.names('earlier')) + 1:03d}"
        for name in names:
            folder.move(name, f"{target}/{name}")


@contextmanager
def without_trace_of_refusal(experiment: Experiment) -> Iterator[None]:
    """Make the run's folder; a new one is removed again when the run is refused before it has begun."""
    folder = experiment.folder
    is_there = bool(folder.names())
    folder.make()
    try:
        yield
    except ValueError:
        if not is_there and not folder.exists(INPUTS) and not folder.exists(LOCK):  # which another process may hold
            (Folder(experiment.storage.path) / RUNS).delete(experiment.run_id)
        raise


@contextmanager
def logging_errors(record: RunRecorder) -> Iterator[None]:
    """Write an error that ends the block into the run's log, with its trace."""
    try:
        yield
    except Exception as error:
        is_told = isinstance(error, RunError)
        record.log(str(error) if is_told else f"{type(error).__name__}: {error}", level="ERROR", prints=False)
        record.log(error.trace if is_told else traceback.format_exc(), level="ERROR", prints=False)
        raise
