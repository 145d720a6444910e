"""A training whose checkpoints are evaluated beside it, by a stand-in for Ray that does so when it is asked to."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray.train
from safetensors.torch import load_file

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.run_recorder import RunRecorder
from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import Experiment
from trainables.engine.files.messages import WorkerReport
from trainables.engine.loop.evaluation import isolated_random
from trainables.engine.loop.loop import run_training
from trainables.plan import Plan
from trainables.ray_train.validation import validate
from trainables.ray_train.worker_main import run_locally


class Killed(BaseException):
    """End of the process that trains."""


class Beside:
    """Trains a plan in this process, and evaluates a checkpoint when `late` further reports have come."""

    def __init__(self, experiment: Experiment, late: int, **training: Any):
        experiment.folder.make()
        plan = build_plan(experiment)
        settings = {"evaluate": "beside", "keep_checkpoints": 100}  # Ray keeps those that wait for an evaluation
        changed = plan.run.training.model_copy(update={**settings, **training})
        self.plan: Plan = replace(plan, run=plan.run.model_copy(update={"training": changed}))
        self.late, self.asked = late, []
        self.reports: list[WorkerReport] = []
        self._due: list[tuple[int, str]] = []
        self.on_report: Callable[[WorkerReport], object] = lambda report: None

    @property
    def messages(self) -> list[str]:
        return [line for report in self.reports for line in report["messages"]]

    def train(self) -> None:
        record = RunRecorder(self.plan.folder, prints=False)

        def report(content: WorkerReport) -> None:
            self.reports.append(content)
            record.apply(content)
            if content.get("evaluates"):
                checkpoint = content.get("checkpoint", "")
                self.asked.append(int(checkpoint[-3:]))
                self._due.append((len(self.reports) + self.late, checkpoint))
            self.on_report(content)
            while self._due and self._due[0][0] <= len(self.reports):
                self.evaluate(self._due.pop(0)[1])

        try:
            run_locally(self.plan, run_training, report)
        finally:
            record.close()

    def evaluate_rest(self) -> None:
        """Evaluate what was asked for, because the training stands still."""
        while self._due:
            self.evaluate(self._due.pop(0)[1])

    def evaluate(self, checkpoint: str) -> None:
        with isolated_random():  # as in a process of its own
            validate(ray.train.Checkpoint(self.plan.folder.full(checkpoint)), self.plan)


def outcome(folder: Folder) -> dict[str, Any]:
    """All that a run leaves, without its name and settings."""
    aliases = folder.read_json("models/aliases.json")
    named = {aliases["best"], aliases["latest"], *aliases["kept"]}
    assert set(folder.names("models")) == {*named, "aliases.json"}
    models = {}
    for name in named:
        metadata = folder.read_json(f"models/{name}/metadata.json")
        weights = load_file(folder.full(f"models/{name}/model.safetensors"))
        models[name] = {
            **{key: value for key, value in metadata.items() if key not in ("config", "run_id")},
            "weights": {key: tensor.tolist() for key, tensor in weights.items()},
        }
    return {
        "rows": rows_of(folder),
        "final": {**folder.read_json("final_metrics.json"), "run_id": ""},
        "aliases": aliases,
        "models": models,
        "table": folder.read("pictures/eval/table/table.csv"),
    }


def rows_of(folder: Folder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in folder.read("metrics.jsonl").splitlines()]
