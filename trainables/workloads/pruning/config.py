"""Settings of the pruning workload; torch-free, so that an experiment is checked in milliseconds."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from data_pipelines.contract.config import Config, InputPath
from data_pipelines.images.config import ImageData
from trainables.contract.training_config import Training
from trainables.contract.workload_config import Mode, WorkloadConfig

Arch = Literal["vit_tiny", "vit_small", "vit_base", "res20s", "res32s", "res44s", "res56s", "res18"]
Criterion = Literal["remain", "magnitude", "l1", "l2", "saliency", "taylor", "hessian", "group_l2", "bn_scale"]
ScheduleName = Literal["x", "x^2", "x^3", "exp", "exp_custom", "exp_custom_exponents"]
Target = Literal["head", "mlp", "both"]
TARGETS = ("target_macs", "target_latency")
"""Settings in place of a rate."""


class PruningData(ImageData):
    """Labelled images with a validation split, which chooses the best epoch of each round."""

    validation_ratio: float = Field(default=0.1, gt=0, lt=1)
    """Share of the training images that decides which model is best."""

    @model_validator(mode="after")
    def _has_labels(self) -> Self:
        if self.source == "unlabelled":
            raise ValueError("`source: unlabelled` has no classes to tell apart; pruning needs them: source: folder")
        return self


class Regularisation(Config):
    """RSST's regularisation of marked weights towards zero: gradient += lambda w, with lambda growing over a round."""

    schedule: ScheduleName = "exp_custom_exponents"
    """With u from 0 to 1 over the round and ceiling g: x: g u; x^2: g u^2; x^3: g u^3; exp: g e^(u-1);
    exp_custom: g (e^u - 1) / (e - 1); exp_custom_exponents: g (e^(u^P) - 1) / (e - 1)."""
    reg_granularity_prune: float = Field(default=1.0, gt=0)
    """The ceiling g. Plain SGD needs learning rate x g below 2, with momentum mu below 2 (1 + mu)."""
    exponents: int = Field(default=4, ge=1, le=16)
    """P; exp_custom_exponents only."""
    update_interval: int = Field(default=1, ge=1)
    """Optimiser steps for which lambda stays the same."""
    hold_ratio: float = Field(default=0.1, ge=0, lt=1)
    """Last share of the round, during which lambda stays at its ceiling."""


class PruningConfig(WorkloadConfig):
    """Settings of rounds of training, pruning and rewinding.

    Round 0 is dense, round s ends with a network pruned s times. `refill`: after a round the units with the lowest
    scores are removed and the rest is rewound, or trained further. `rsst`: they are only marked; during the next round
    their weights are regularised to zero, and at its end they are removed.
    """

    name: Literal["pruning"] = "pruning"
    data: PruningData = PruningData()
    arch: Arch = "res20s"
    """The network."""
    patch_size: int = Field(default=4, ge=1)
    """Vision transformers only: side of a patch in pixels."""
    normalisation: Literal["dataset", "imagenet", "inception"] | None = None
    """Mean and deviation of pixels inside the network. dataset: published ones of CIFAR, measured ones of other data;
    imagenet: ImageNet's; inception: 0.5 and 0.5, as many of timm's transformers; null: what `pretrained` was trained
    with where that is known, else dataset; without `pretrained` it is dataset."""
    pretrained: InputPath | None = None
    """Weights to start from: timm's names for a vision transformer, `conv1`, `layer1.0.conv1`, ... for a ResNet."""
    struct: Literal["refill", "rsst"] = "rsst"
    """refill removes units by their scores and trains on; rsst pulls them to zero first, and then removes them."""
    pruning_times: int = Field(default=20, ge=1, le=1000)
    """Rounds of `training.epochs` epochs each, including the dense one."""
    rate: float | None = Field(default=0.2, gt=0, lt=1)
    """Share of the remaining weights (ResNet) or units (ViT) removed in each round: (1 - rate)^s is left. Null with
    `target_macs` or `target_latency`, which find one for each round."""
    target_macs: float | None = Field(default=None, gt=0, lt=1)
    """In place of `rate`: largest share of the dense network's multiply-accumulates after the last pruning; after
    pruning s of n it is target_macs^(s / n)."""
    target_latency: float | None = Field(default=None, gt=0, lt=1)
    """In place of `rate`: largest share of the dense network's latency after the last pruning, measured on the
    training's device; after pruning s of n it is target_latency^(s / n)."""
    latency_batch_size: int = Field(default=64, ge=1)
    """target_latency only: images of the batch that is timed."""
    mlp_prune_ratio: float | None = Field(default=None, gt=0, lt=1)
    """The rate of MLP neurons, when it differs."""
    fillback_rate: float = Field(default=0.0, ge=0, lt=1)
    """refill only: share of the units to be removed that is kept."""
    criteria: Criterion = "l1"
    """Score by which units are removed."""
    criterion_batches: int = Field(default=8, ge=1)
    """Training batches of each worker over which l1, l2, saliency, taylor and hessian are measured."""
    sorting_mode: Literal["layer-wise", "global", "uniform"] = "layer-wise"
    """Whether scores are compared within a layer, or over all layers with units of the same kind; uniform, of ResNets
    alone: within a layer, of whose units (1 - rate)^s stay in every one."""
    target: Target | None = None
    """Vision transformers only: which units are pruned; `head` by default."""
    prunes_residual: bool = False
    """ResNets only: also prune the channels of each stage's residual stream."""
    prune_type: Literal["lt", "pt", "rewind_lt", "finetune"] = "lt"
    """Weights that a round starts from: those of the start, the pretrained ones, those after `rewind_epoch`, or
    (finetune) those that the round before ended with."""
    rewind_epoch: int | None = Field(default=None, ge=1)
    """rewind_lt only: an epoch of round 0."""
    regularisation: Regularisation = Regularisation()

    metric_names: ClassVar[dict[str, str]] = {
        "train/loss": "loss",
        "train/top1_acc": "top1_acc",
        "train/reg_lambd": "reg_lambd",
        "train/epoch_top1_acc": "accuracy",
    }
    metric_x_axes: ClassVar[dict[str, str | None]] = {
        "loss": "step",
        "top1_acc": "step",
        "reg_lambd": "step",
        "train/epoch_*": "epoch",
        "train/*": "step",
        "*": "epoch",
    }

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        has_target = any(values.get(name) is not None for name in TARGETS)
        filled = {"rate": None, **values} if has_target else values
        if filled.get("pretrained") is None and filled.get("normalisation") is None:
            return {**filled, "normalisation": "dataset"}
        return filled

    @field_validator("rate", "mlp_prune_ratio", mode="before")
    @classmethod
    def _is_a_share(cls, value: float | None) -> float | None:
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value < 1:
            raise ValueError(f"is {value}; it is the share that goes in each round and must lie between 0 and 1")
        return value

    @model_validator(mode="after")
    def _has_one_goal(self) -> Self:
        goals = {name: getattr(self, name) for name in ("rate", *TARGETS)}
        if sum(value is not None for value in goals.values()) != 1:
            told = ", ".join(f"`{name}` is {value}" for name, value in goals.items())
            raise ValueError(f"{told}; give exactly one of them and set the others to null")
        if self.rate is not None:
            return self
        name = next(name for name in TARGETS if goals[name] is not None)
        if self.pruning_times < 2:
            raise ValueError(f"`{name}` is given, but `pruning_times: 1` is the dense round alone; set 2 or more")
        if self.mlp_prune_ratio is not None:
            raise ValueError(f"`mlp_prune_ratio` is a rate, which `{name}` finds; give one of them")
        if self.fillback_rate:
            raise ValueError(f"`fillback_rate` keeps units that `{name}` would remove; give one of them")
        if self.criteria == "remain":
            raise ValueError(f"`criteria: remain` counts what a given `rate` leaves; take another with `{name}`")
        return self

    @model_validator(mode="after")
    def _units_exist(self) -> Self:
        if self.is_vit and self.criteria == "bn_scale":
            raise ValueError(f"`criteria: bn_scale` needs batch norms, and {self.arch} has none; take another")
        if self.is_vit and self.sorting_mode == "uniform":
            raise ValueError(f"`sorting_mode: uniform` is for ResNets; layer-wise is the same in {self.arch}")
        if self.is_vit and self.prunes_residual:
            raise ValueError(f"`prunes_residual` is for ResNets; {self.arch} keeps its residual stream")
        if not self.is_vit and self.target is not None:
            raise ValueError(f"`target` is {self.target}, but {self.arch} has neither heads nor an MLP; leave it out")
        if not self.is_vit and self.mlp_prune_ratio is not None:
            raise ValueError(f"`mlp_prune_ratio` is given, but {self.arch} has no MLP; leave it out")
        if self.mlp_prune_ratio is not None and self.target not in ("mlp", "both"):
            raise ValueError("`mlp_prune_ratio` is given, but `target` leaves the MLP alone; set target: mlp or both")
        return self

    @model_validator(mode="after")
    def _struct_fits(self) -> Self:
        if self.struct == "rsst" and self.fillback_rate:
            raise ValueError("`fillback_rate` is for struct: refill; rsst removes exactly what it has pulled to zero")
        return self

    @model_validator(mode="after")
    def _rewind_point_exists(self) -> Self:
        if (self.prune_type == "rewind_lt") != (self.rewind_epoch is not None):
            raise ValueError(
                f"`rewind_epoch` is {self.rewind_epoch} with prune_type: {self.prune_type}; rewind_lt needs it, and "
                "the others have none"
            )
        if self.prune_type == "pt" and self.pretrained is None:
            raise ValueError("`prune_type` is pt, which rewinds to pretrained weights; give `pretrained`")
        return self

    @property
    def is_vit(self) -> bool:
        """Whether the architecture is a vision transformer."""
        return self.arch.startswith("vit")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of the units that are pruned."""
        if not self.is_vit:
            return ("channel", "residual") if self.prunes_residual else ("channel",)
        return {"head": ("head",), "mlp": ("neuron",), "both": ("head", "neuron")}[self.target or "head"]

    def allowed_share(self, num_prunings: int) -> float | None:
        """Return the largest share of the target's measure after so many prunings; None with a rate."""
        target = self.target_latency if self.target_macs is None else self.target_macs
        return None if target is None else target ** (num_prunings / (self.pruning_times - 1))

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """Validation accuracy, within each round."""
        return {"val_accuracy": "max"}

    @property
    def num_stages(self) -> int:
        """Number of stages, one for each round."""
        return self.pruning_times

    def check_sharding(self) -> None:
        """Raise ValueError for rounds of rsst, which adds the norm of single weights to the loss and masks them."""
        if self.struct == "rsst" and self.pruning_times > 1:
            raise ValueError(
                "`scaling.parallel` is fsdp, and `workload.struct: rsst` regularises and masks single weights in every "
                "step, of which a worker would have a part; take struct: refill, parallel: ddp, or pruning_times: 1"
            )

    def check_inputs(self) -> None:
        """Raise ValueError unless the pretrained weights can be read."""
        if self.pretrained is not None and self.pretrained.exists():
            from trainables.workloads.pruning.pretrained import read_pretrained

            read_pretrained(self.pretrained)

    def check_training(self, training: Training) -> None:
        """Raise ValueError unless the rewind point is an epoch of round 0 and every round can be evaluated at its end.

        With rsst an EMA would start afresh at a round's end, where units are removed.
        """
        super().check_training(training)
        if self.struct == "rsst" and self.pruning_times > 1 and training.ema is not None:
            raise ValueError(
                "`training.ema` is given, but with struct: rsst units are removed at a round's end, where an average "
                "would begin anew and the round be judged without it; leave it out, or set `workload.struct` to refill"
            )
        if self.pruning_times > 1 and training.evaluate_every is None:
            raise ValueError("`training.evaluate_every` is null, but rounds are compared by their accuracy; set it")
        if self.rewind_epoch is not None and (training.epochs is None or self.rewind_epoch > training.epochs):
            raise ValueError(
                f"`workload.rewind_epoch` is {self.rewind_epoch}, but a round has `training.epochs` = {training.epochs}"
            )

    @property
    def run_name_parts(self) -> tuple[str, ...]:
        """For example rsst, vit_small, cifar100, sched_x, reg_1.0, crit_l1, rate_0.2, pretrained."""
        parts = [self.struct, self.arch, self.data.source]
        if self.struct == "rsst":
            settings = self.regularisation
            parts += [f"sched_{settings.schedule}", f"reg_{settings.reg_granularity_prune}"]
            is_named = self.arch.startswith("vit") or settings.exponents != 4
            if settings.schedule == "exp_custom_exponents" and is_named:
                parts.append(f"exp{settings.exponents}")
        else:
            parts.append(f"fill_{self.fillback_rate}")
        goals = {"rate": self.rate, "macs": self.target_macs, "latency": self.target_latency}
        parts += [f"crit_{self.criteria}", *(f"{name}_{value}" for name, value in goals.items() if value is not None)]
        return (*parts, "pretrained") if self.pretrained else tuple(parts)
