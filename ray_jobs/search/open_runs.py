"""Open runs of a search's trials: each with its experiment, plan, record, and the lock on its folder."""

from contextlib import ExitStack
from dataclasses import dataclass

from ray_jobs.run_folder.inputs import INPUTS, describe_inputs
from ray_jobs.run_folder.run_lock import locked
from ray_jobs.run_folder.run_recorder import FINAL, RunRecorder
from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import describe
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trial
from ray_jobs.settings.experiment import Experiment
from trainables.engine.process.stop_request import request_stop, withdraw_request
from trainables.plan import Plan


@dataclass(frozen=True)
class OpenRun:
    """Run that is being trained."""

    experiment: Experiment
    plan: Plan
    record: RunRecorder
    held: ExitStack
    """Lock on the run's folder."""


class OpenRuns:
    """Open runs by the trial's number."""

    def __init__(self, setup: SweepPlan):
        self._setup = setup
        self._open: dict[int, OpenRun] = {}
        self.numbers: dict[str, int] = {}
        """Number of each trial that was opened, by its id in Tune, which is new in every start."""

    def __getitem__(self, number: int) -> OpenRun:
        return self._open[number]

    def of_tune(self, trial_id: str) -> OpenRun:
        """Return the run of a trial by its id in Tune."""
        return self._open[self.numbers[trial_id]]

    def name_of(self, trial_id: str) -> str:
        """Return the name of a trial's run by its id in Tune."""
        return self.of_tune(trial_id).experiment.run_id

    def __len__(self) -> int:
        return len(self._open)

    def open(self, trial: Trial) -> OpenRun:
        """Lock, describe and plan the run of a trial. Raises ValueError when the trial cannot be trained."""
        experiment = self._setup.build(trial)
        folder = experiment.folder
        folder.make()
        with ExitStack() as stack:
            stack.enter_context(locked(folder))
            folder.remove_temporary()
            withdraw_request(folder)
            describe(experiment, job_type="sweep")
            plan = build_plan(experiment)
            folder.write_json(INPUTS, describe_inputs(plan.run.workload, plan.prepared, plan.manifest))
            record = RunRecorder(folder, prints=False, log_format=experiment.tracking.log_format)
            run = OpenRun(experiment, plan, record, stack.pop_all())
        self._open[trial.number] = run
        return run

    def close(self, number: int) -> None:
        """Close the run's record, and release the lock on its folder."""
        run = self._open.pop(number, None)
        if run is not None:
            run.record.close()
            run.held.close()

    def ask_to_stop(self, who: str) -> None:
        """Request a stop of every open run, which then saves a checkpoint and ends."""
        for run in self._open.values():
            request_stop(run.experiment.folder, who)

    def close_all(self) -> None:
        for number in list(self._open):
            self.close(number)

    def final_metrics(self, trial: Trial) -> dict[str, float] | None:
        """Return the metrics of a run that finished before its trial was marked as finished; None for any other run."""
        folder = self._setup.run(trial)
        if not folder.exists(FINAL):
            return None
        final = folder.read_json(FINAL)
        wants_best = self._setup.search.take == "best"
        return (final["best_metrics"] if wants_best else None) or final["metrics"]
