"""Evaluator of a clinical task: scores of validation and test subjects, with confusion matrix and curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import DataSpec, Split
from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.panels import Panel
from trainables.contract.prediction import Row, Value
from trainables.contract.train_context import Collectives
from trainables.metrics.classification import score_confusion
from trainables.workloads.heart_sound.finetune.aggregation import SCORE, Answers, separate, softmax
from trainables.workloads.heart_sound.finetune.config import Pooling
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, decide
from trainables.workloads.heart_sound.finetune.scoring.curves import draw_split
from trainables.workloads.heart_sound.finetune.scoring.details import (
    by_unit,
    draw_calibration,
    find_intervals,
    find_operating_points,
    score_subgroups,
    tabulate_subgroups,
    tabulate_subjects,
)
from trainables.workloads.heart_sound.finetune.scoring.task_scores import score_split
from trainables.workloads.heart_sound.plots import draw_cycles

NUM_SHOWN = 6
BAG_CYCLES = 256
"""Cycles of bags that are classified at a time, as a batch has all cycles of its recordings."""
FIELDS = ("label", "patient", "recording", "is_good")


class FinetuneEvaluator(Evaluator[Mapping[str, Any]]):
    """Evaluator of all given splits.

    `training` is the confusion matrix of the training answers since the last evaluation. The metric `goal`, which
    decides which model is best, is NaN where it is undefined. `has_details` is whether intervals, subgroups,
    calibration and a table of all subjects are wanted too. `find_rule` returns the decision rule, given the answers for
    all validation subjects in the task's unit, if there are any, and the clinical outcomes by patient.
    """

    def __init__(
        self,
        task: HeartTask,
        splits: Sequence[Split],
        *,
        training: np.ndarray,
        data_spec: DataSpec,
        pooling: Pooling,
        goal: str,
        has_details: bool,
        find_rule: Callable[[Answers | None, Sequence[str | None]], DecisionRule],
        collectives: Collectives,
    ) -> None:
        self._task, self._splits, self._training, self._collectives = task, splits, training, collectives
        self._goal, self._find_rule, self._has_details = goal, find_rule, has_details
        self._pooling = pooling
        self._groups: Mapping[str, Sequence[str | None]] = data_spec.get("groups", {})
        self._outcomes: Sequence[str | None] = data_spec.get("outcomes", ())
        self._names = {kind: data_spec.get(f"{kind}s") for kind in ("recording", "patient")}
        """What the numbers of recordings and patients stand for; None in data that were prepared before."""
        self._outputs: dict[str, list[Tensor]] = {split: [] for split in splits}
        """Logits of cycles, and with attention their scores."""
        self._fields: dict[str, list[Tensor]] = {split: [] for split in splits}
        self._shown: Tensor | None = None
        self._split: Split = splits[0]

    @property
    def splits(self) -> Sequence[Split]:
        """Validation, and test when the data have it; the validation split alone decides which model is best."""
        return self._splits

    def begin_split(self, split: Split) -> None:
        """Add the following batches to this split."""
        self._split = split

    def update(self, module: nn.Module, batch: Mapping[str, Any]) -> None:
        """Add a batch of cycles."""
        signal = batch["signal"]
        parts = signal.split(BAG_CYCLES) if self._pooling.cycles == "attention" else [signal]
        self._outputs[self._split].append(torch.cat([module(part) for part in parts]).double().cpu())
        self._fields[self._split].append(torch.stack([batch[name] for name in FIELDS], dim=1).cpu())
        if self._shown is None:
            self._shown, self._durations = (batch[name][:NUM_SHOWN].cpu() for name in ("signal", "duration_s"))
            self._captions = [self._task.classes[int(label)] for label in batch["label"][:NUM_SHOWN]]

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Return `train/...`, `val/...`, `test/...`, and the best constant answer as `baseline/...`; a collective."""
        training = score_confusion(self._training, positive=self._task.positive)
        metrics = {f"train/{name}": value for name, value in training.items() if name != "accuracy"}
        panels: list[Panel] = []
        found: dict[Split, Answers] = {split: self._gather(split) for split in self._splits}
        self._found = found
        validation = by_unit(found["val"], self._task) if "val" in found else None
        self._rule = self._find_rule(validation, self._outcomes)
        for split, answers in found.items():
            scores, constants = score_split(answers, self._task, self._rule, self._outcomes)
            metrics |= {f"{split}/{name}": value for name, value in scores.items()}
            metrics |= {f"baseline/{split}/{name}": value for name, value in constants.items() if name in scores}
            panels += draw_split(split, by_unit(answers, self._task), self._task, self._rule)
            if self._has_details:
                details = self._describe(split, answers)
                metrics |= details.metrics
                panels += details.panels
        if "val" in found:
            metrics.setdefault(self._goal, float("nan"))  # undefined: the engine leaves it out and logs that
        if self._rule.score is not None:
            each = zip(self._task.classes, self._rule.multipliers, strict=True)
            metrics |= {f"decision/{name.lower()}": value for name, value in each}
        if self._shown is not None:
            panels.append(draw_cycles("val/cycles", self._shown, self._durations, self._captions))
        return EvaluationResult(metrics, panels, self._rows)

    def _describe(self, split: Split, answers: Answers) -> EvaluationResult:
        """Return counts, intervals, operating points and subgroups with their table, calibration, and every subject."""
        known, unit = (self._task, self._rule), by_unit(answers, self._task)
        predicted = decide(unit.probabilities, *known)
        found = find_intervals(unit, predicted, self._task, self._outcomes) | find_operating_points(unit, self._task)
        found |= {f"num_{self._task.unit}s": float(len(unit.label))}
        groups = score_subgroups(answers, *known, groups=self._groups, outcomes=self._outcomes)
        named = {f"{split}/{name}": value for name, value in found.items()}
        subjects = tabulate_subjects(split, unit, *known, self._names[self._task.unit])
        panels = [*tabulate_subgroups(split, groups), subjects, *draw_calibration(split, unit, self._task)]
        return EvaluationResult(named, panels)

    def _name(self, kind: str, number: int) -> Value:
        names = self._names[kind]
        return number if names is None else names[number]

    def _rows(self) -> list[Row]:
        """Return a row for each of this rank's cycles, from whose logits all scores follow.

        It has also the answer for its patient or recording, None where that is not scored, and its attention score.
        """
        rows: list[Row] = []
        names, unit = self._task.classes, self._task.unit
        for split in self._splits:
            subjects = by_unit(self._found[split], self._task)
            decided = decide(subjects.probabilities, self._task, self._rule).tolist()
            answer_of = dict(zip(getattr(subjects, unit).tolist(), decided, strict=True))
            for outputs, fields in zip(self._outputs[split], self._fields[split], strict=True):
                logits, scores = separate(outputs.numpy(), len(names))
                found = softmax(logits)
                parts = zip(
                    fields.tolist(),
                    decide(found, self._task, self._rule).tolist(),
                    found.tolist(),
                    logits.tolist(),
                    [None] * len(logits) if scores is None else scores.tolist(),
                    strict=True,
                )
                for (label, patient, recording, is_good), answer, shares, values, score in parts:
                    known: dict[str, Value] = {"split": split}
                    known |= {
                        "recording": self._name("recording", recording),
                        "patient": self._name("patient", patient),
                    }
                    whole = answer_of.get(patient if unit == "patient" else recording)
                    known |= {"is_good": bool(is_good), "truth": names[label], "answer": names[answer]}
                    known[f"{unit}_answer"] = None if whole is None else names[whole]
                    known |= {"outcome": self._outcomes[patient]} if self._outcomes else {}
                    known |= {f"p({name})": value for name, value in zip(names, shares, strict=True)}
                    known |= {f"logit({name})": value for name, value in zip(names, values, strict=True)}
                    rows.append(known if score is None else known | {SCORE: score})
        return rows

    def _gather(self, split: Split) -> Answers:
        num_classes = len(self._task.classes)
        empty = torch.zeros(0, num_classes + (self._pooling.cycles == "attention"), dtype=torch.float64)
        outputs = self._collectives.gather(torch.cat([empty, *self._outputs[split]])).numpy()
        none = torch.zeros(0, len(FIELDS), dtype=torch.int64)
        fields = self._collectives.gather(torch.cat([none, *self._fields[split]])).numpy()
        logits, scores = separate(outputs, num_classes)
        return Answers(logits, *fields.T, scores=scores, pooling=self._pooling, positive=self._task.positive)
