"""Settings of the second stage: a clinical task on the pretrained encoder."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config, ModelPath
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.tasks import LOWER_IS_BETTER, HeartTask, TaskName
from trainables.contract.workload_config import Mode, WorkloadConfig
from trainables.workloads.heart_sound.networks.config import EncoderConfig


class Head(Config):
    """Classifier on the embedding."""

    hidden: int = Field(default=128, ge=1)
    """Width of the hidden layer; linear evaluation has none."""
    dropout: float = Field(default=0.3, ge=0, lt=1)
    """Before the last layer; linear evaluation has none."""


class ClassLoss(Config):
    """Cross-entropy, or focal loss (Lin et al. 2017)."""

    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Share of the target that all classes get alike."""
    focal_gamma: float = Field(default=0.0, ge=0)
    """0 is cross-entropy; from 1 on, confident answers weigh less. Focal loss has no label smoothing."""
    weighs_classes: bool = True
    """Rare classes weigh more: n / (C n_c), with n samples of C classes and n_c of the class itself, counted as
    `counts` says, at most `largest_weight`."""
    largest_weight: float = Field(default=10.0, ge=1)
    """Most that a class weighs."""
    counts: Literal["cycles", "patients"] = "cycles"
    """What weighs the same in the loss and in the frequencies of the classes: each cycle (with attention each bag, a
    recording), or each patient, whose cycles or bags share its weight."""
    logit_adjustment: float = Field(default=0.0, ge=0, le=4)
    """Factor on the logarithms of the classes' frequencies, which are added to the logits in the loss alone, so that
    the network answers as if the classes were equally frequent (Menon et al. 2021, equation 10; there 1). In the place
    of class weights."""

    @model_validator(mode="after")
    def _gradient_is_finite(self) -> Self:
        if 0 < self.focal_gamma < 1:
            raise ValueError(
                f"`focal_gamma` is {self.focal_gamma}; give 0 or at least 1: below, the gradient of a sure answer is "
                "infinite"
            )
        return self

    @model_validator(mode="after")
    def _is_corrected_once(self) -> Self:
        if self.logit_adjustment and self.weighs_classes:
            raise ValueError("`logit_adjustment` and `weighs_classes` both correct for rare classes; give one of them")
        return self

    @model_validator(mode="after")
    def _focal_is_not_smoothed(self) -> Self:
        if self.focal_gamma and self.label_smoothing:
            raise ValueError("focal loss has no label smoothing; set `label_smoothing` to 0")
        return self


PoolingMethod = Literal["logits", "probabilities", "noisy_or", "most_positive"]
CyclePoolingMethod = Literal[PoolingMethod, "attention"]


class Pooling(Config):
    """What becomes of the logits of cycles in a recording, and of those of recordings in a patient.

    `logits`: their mean. `probabilities`: the mean of the probabilities. `noisy_or`: the clinical positive has
    1 - prod(1 - p), and the other classes share the rest. `most_positive`: the one likeliest to be positive counts
    alone, so that one recording with a murmur is enough. `attention`, of cycles alone: the mean of the logits with
    learnt weights (gated attention, Ilse et al. 2018), in the training over `data.cycles_per_bag` cycles.
    """

    cycles: CyclePoolingMethod = "logits"
    """Of the cycles in a recording."""
    recordings: PoolingMethod = "logits"
    """Of the recordings in a patient."""


class Decision(Config):
    """How the probabilities of a recording or patient become an answer."""

    rule: Literal["learnt", "argmax"] = "learnt"
    """learnt: the multipliers of the classes' probabilities that are best for `score` on the validation subjects, found
    in every evaluation of the training and kept in its models. argmax: the likeliest class."""
    score: Literal["weighted_accuracy", "cost", "macc", "f1_macro", "accuracy"] | None = None
    """The score that the rule is learnt for; null: the task's own, that of its challenge where there is one."""


class FinetuneConfig(WorkloadConfig):
    """Settings of full fine-tuning, or linear evaluation; few-shot with `data.shot_ratio` below 1."""

    name: Literal["heart_sound_finetune"] = "heart_sound_finetune"
    task: TaskName = "synthetic_murmur"
    """What is decided, from which data set."""
    mode: Literal["full", "linear"] = "full"
    """linear: the encoder does not change, including its running statistics; one linear layer is trained."""
    pretrained: ModelPath | None = None
    """A pretraining run, by its name or folder, or the folder of one of its models; null: train from scratch."""
    data: HeartData = HeartData()
    encoder: EncoderConfig = EncoderConfig()
    """Must be that of the pretraining."""
    encoder_rate_factor: float = Field(default=0.1, gt=0, le=10)
    """Learning rate of the encoder as a factor of `training.optimizer.learning_rate`, that of the classifier."""
    head: Head = Head()
    loss: ClassLoss = ClassLoss()
    pooling: Pooling = Pooling()
    decision: Decision = Decision()

    evaluation_options: ClassVar[dict[str, str]] = {
        "all-subjects": "workload.data.tests_all",
        "decision": "workload.decision.rule",
    }
    metric_names: ClassVar[dict[str, str]] = {
        f"train/learning_rate/{group}": f"learning_rate/{group}" for group in ("encoder", "classifier")
    }
    metric_x_axes: ClassVar[dict[str, str | None]] = {"learning_rate/*": "step", **WorkloadConfig.metric_x_axes}

    @model_validator(mode="after")
    def _keeps_labelled_cycles(self) -> Self:
        if self.data.filters_cycles:
            raise ValueError("`data.filters_cycles` is for pretraining only: it could drop cycles of one class")
        if self.data.withheld_tasks:
            raise ValueError("`data.withheld_tasks` is for pretraining only")
        if self.data.held_out_database is not None and self.task != "physionet2016":
            raise ValueError(f"`data.held_out_database` is for the task physionet2016, and this is {self.task}")
        if self.task == "labelled" and len(self.data.classes) < 2:
            raise ValueError("the task labelled needs `data.classes`, the labels of its table: [normal, murmur]")
        if self.data.inaudible != "patient" and self.task != "circor_murmur":
            raise ValueError(f"`data.inaudible` is for the task circor_murmur, and this is {self.task}")
        return self

    @model_validator(mode="after")
    def _attention_is_over_bags(self) -> Self:
        method, size = self.pooling.cycles, self.data.cycles_per_bag
        if (method == "attention") != (size > 1):
            raise ValueError(
                f"`pooling.cycles` is {method} and `data.cycles_per_bag` {size}: attention needs bags of several "
                "cycles, and nothing else has them; give attention with bags of 2 or more, such as 8, or another with 1"
            )
        return self

    @model_validator(mode="after")
    def _score_is_of_the_task(self) -> Self:
        known = self.heart_task.decision_scores
        if self.decision.score is not None and self.decision.score not in known:
            raise ValueError(f"`decision.score` is {self.decision.score}; {self.task} has {', '.join(known)}")
        return self

    @property
    def has_attention(self) -> bool:
        """Whether cycles are pooled by attention: a sample of the training is then a bag of cycles."""
        return self.pooling.cycles == "attention"

    @property
    def heart_task(self) -> HeartTask:
        """The task, with its classes."""
        return self.data.describe_task(self.task)

    @property
    def decision_score(self) -> str:
        """The score that the decision rule is learnt for."""
        return self.decision.score or self.heart_task.decision_scores[0]

    def folds(self, by: str) -> Mapping[str, Mapping[str, Any]]:
        """Return folds by subject for a number; for `database` each of PhysioNet's databases left out once."""
        if by == "database" and self.task == "physionet2016":
            return {f"database_{name}": {"workload.data.held_out_database": name} for name in "abcdef"}
        if not by.isdigit() or int(by) < 2:
            others = ", or database" if self.task == "physionet2016" else ""
            raise ValueError(f"{by!r} is no kind of folds of {self.task}: give a number from 2 on{others}")
        return {
            f"fold{fold}of{by}": {"workload.data.num_folds": int(by), "workload.data.fold": fold}
            for fold in range(1, int(by) + 1)
        }

    def check_inputs(self) -> None:
        """Raise ValueError unless the pretrained encoder can be read, and is of this architecture."""
        if self.pretrained is not None and self.pretrained.exists():
            from trainables.workloads.heart_sound.finetune.pretrained import load_encoder

            load_encoder(self.pretrained, self.encoder)

    @property
    def run_name_parts(self) -> tuple[str, ...]:
        """For example `circor_murmur`, `linear`, `fewshot10pct`."""
        shots = self.data.shot_ratio
        few = (f"fewshot{100 * shots:g}pct",) if shots < 1 else ()
        return (self.task, "linear" if self.mode == "linear" else "finetune", *few)

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """The score that the decision rule is learnt for, on the validation subjects; any other score of theirs."""
        task = self.heart_task
        plain = ("f1_macro", "accuracy", "f1", "precision", "recall", "sensitivity", "specificity", "auroc", "auprc")
        levels = ["", *(f"{level}_" for level in ("cycle", "recording", "patient") if level != task.unit)]
        names = [
            self.decision_score,
            *task.decision_scores,
            *(level + name for level in levels for name in plain),
            *("loss", "brier", "calibration_error"),
        ]
        return {f"val/{name}": "min" if name in LOWER_IS_BETTER else "max" for name in names}
