"""Settings that every workload shares: training, optimiser, schedule, cadence, EMA and early stopping."""

import re
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_serializer, model_validator

from data_pipelines.contract.config import Config

Precision = Literal["fp32", "bf16", "fp16"]


class Cadence(Config):
    """How often an action happens: `5 epochs`, `200 steps`, or the same as a mapping `{epochs: 5}`."""

    units: ClassVar[tuple[str, ...]] = ("epochs", "steps")
    count: int = Field(ge=1)
    unit: str

    @model_validator(mode="before")
    @classmethod
    def _from_words(cls, value: Any) -> Any:
        if isinstance(value, str):
            match = re.fullmatch(r"\s*(\d+)\s*([a-z]+?)s?\s*", value)
            if match is None or f"{match[2]}s" not in cls.units:
                examples = " or ".join(
                    f"'{count} {unit}'" for count, unit in zip((5, 200, 10), cls.units, strict=False)
                )
                raise ValueError(f"{value!r} is no cadence; write for example {examples}")
            return {"count": int(match[1]), "unit": f"{match[2]}s"}
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in cls.units:
            unit, count = next(iter(value.items()))
            return {"count": count, "unit": unit}
        return value

    @model_validator(mode="after")
    def _knows_the_unit(self) -> Self:
        if self.unit not in self.units:
            raise ValueError(f"the unit of a cadence is one of {', '.join(self.units)}, not {self.unit!r}")
        return self

    @model_serializer
    def _to_words(self) -> str:
        return f"{self.count} {self.unit}"

    def is_due(self, *, step: int, epoch: int, ends_epoch: bool) -> bool:
        """Return whether the action is due after optimiser step `step` of epoch `epoch`, both counted from 1."""
        if self.unit == "steps":
            return step % self.count == 0
        return self.unit == "epochs" and ends_epoch and epoch % self.count == 0


class CheckpointCadence(Cadence):
    """How often a checkpoint is saved: as any cadence, or by time, as in `10 minutes`.

    The time is looked at whenever rows are logged; see `log_every_steps`.
    """

    units: ClassVar[tuple[str, ...]] = ("epochs", "steps", "minutes")

    @property
    def seconds(self) -> float | None:
        """Seconds between two checkpoints; None for a cadence that is not by time."""
        return 60.0 * self.count if self.unit == "minutes" else None


class Optimizer(Config):
    """The optimiser; weight decay is not applied to biases and norms when `decays_norms` is false."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    """Of torch.optim."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """The peak, which the schedule multiplies."""
    betas: tuple[float, float] = (0.9, 0.999)
    """adam and adamw: decay of the averages of the gradient and of its square."""
    epsilon: float = Field(default=1e-8, gt=0)
    """adam and adamw: added to the denominator."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """sgd only."""
    nesterov: bool = False
    """sgd only."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Of adam and sgd added to the gradient, of adamw decoupled (Loshchilov and Hutter 2019)."""
    decays_norms: bool = True
    """Whether biases and the weights of norms decay too."""

    @field_validator("betas")
    @classmethod
    def _betas_below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError(f"betas are {value}; each must be at least 0 and below 1")
        return value

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.name == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("`nesterov` needs a `momentum` above 0")
        return self


class Schedule(Config):
    """Factor on the learning rate, from 0 to 1: a linear warm-up, then the named course."""

    name: Literal["constant", "cosine", "linear", "multistep"] = "constant"
    """Course after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps in which the factor rises from 0 to 1."""
    warmup_epochs: int = Field(default=0, ge=0)
    """In place of `warmup_steps`: as many steps as these epochs have."""
    final_ratio: float = Field(default=0.0, ge=0, le=1)
    """Learning rate at the end as a share of the peak, for cosine and linear."""
    per: Literal["step", "epoch"] = "step"
    """Whether the course after the warm-up moves with every step or once per epoch."""
    milestones: tuple[int, ...] = ()
    """multistep only: epochs after which the factor is multiplied by `gamma`."""
    gamma: float = Field(default=0.1, gt=0, le=1)
    """multistep only: factor at each milestone."""

    @model_validator(mode="after")
    def _has_one_warmup(self) -> Self:
        if self.warmup_steps and self.warmup_epochs:
            raise ValueError("give `warmup_steps` or `warmup_epochs`, not both")
        return self


class Ema(Config):
    """Exponential moving average of the weights, used for every picture, evaluation and saved model."""

    decay: float = Field(default=0.9999, ge=0, lt=1)
    """Weight of the average so far in each step."""
    has_warmup: bool = False
    """Use min(decay, (1 + n) / (10 + n)) after n updates, so that short runs are not stuck at the start."""


class EarlyStopping(Config):
    """Rule that stops a run when the selection metric has not improved over this many evaluations."""

    patience: int = Field(ge=1)
    """Evaluations without a better value before the run ends."""
    min_delta: float = Field(default=0.0, ge=0)
    """What a value must be better by to count."""


class Profile(Config):
    """Steps that are profiled by torch: their trace lies in the run's folder, their costliest operations in its report.

    Profiled steps are slower, and give the same numbers.
    """

    steps: str
    """First and last step, counted from 1, as in `10..15`."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        match = re.fullmatch(r"(\d+)\.\.(\d+)", self.steps)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"`steps` is {self.steps!r}; write the first and the last step, such as 10..15")
        return self

    @property
    def first(self) -> int:
        return int(self.steps.partition("..")[0])

    @property
    def last(self) -> int:
        return int(self.steps.partition("..")[2])


class Training(Config):
    """Length of the training, batch size, and cadences."""

    epochs: int | None = Field(default=None, ge=1)
    """Epochs; of each stage, when the workload trains in several."""
    passes_per_epoch: int = Field(default=1, ge=1)
    """Passes over the training split in one epoch; for small sets whose samples are cropped differently each time."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; give `epochs` or this."""
    batch_size: int = Field(default=128, ge=1)
    """Samples per optimiser step, over all workers and accumulated micro-batches together, whose shares differ by a
    sample at most."""
    accumulate: int = Field(default=1, ge=1)
    """Micro-batches per optimiser step."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest L2 norm of the full gradient."""
    precision: Precision = "fp32"
    """Of the forward passes, in evaluations too; weights, optimiser and metrics are float32."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Of products of float32 matrices on a GPU: high allows TF32, medium bfloat16 inside them
    (`torch.set_float32_matmul_precision`)."""
    activation_checkpointing: bool = False
    """Compute what lies between a block's input and its output again in the backward pass instead of keeping it: about
    a third slower, and the memory of activations is that of one block and of the inputs of all."""
    compile: bool = False
    """Compile the network by torch.compile: slower to start, quicker steps. Evaluations and pictures, whose batches and
    images have many sizes, run without it."""
    channels_last: bool = False
    """Keep images with their channels last in memory, which convolutions on GPUs prefer."""
    is_deterministic: bool = False
    """Ask torch for deterministic kernels (always the case on CPU for what the workloads use)."""
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    ema: Ema | None = None
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """A loss or gradient that is not finite ends the run, naming the step, or its step is skipped and counted
    (this costs one device synchronisation per step)."""
    early_stopping: EarlyStopping | None = None
    log_every_steps: int = Field(default=50, ge=1)
    """Rows are kept on the device for this many steps, counted in each epoch, then reduced over workers and sent
    together."""
    evaluate_every: Cadence | None = Cadence(count=1, unit="epochs")
    """null: never. The end of the run and of a stage is evaluated too."""
    evaluate: Literal["inline", "beside"] = "inline"
    """inline: the workers evaluate, and train on afterwards; beside: a further process, as large as a worker, evaluates
    the checkpoint of the step while they train on. Its metrics join the row of the step when they come; rows from there
    on wait for them. The end of a stage and of the run is evaluated inline. Needs Ray workers."""
    pictures_every: Cadence | None = Cadence(count=1, unit="epochs")
    """null: never."""
    checkpoint_every: CheckpointCadence | None = CheckpointCadence(count=1, unit="epochs")
    """Also by time, as in `10 minutes`. A checkpoint is also written when the training ends. The training waits until
    the state is copied in main memory, and goes on while the copy is written."""
    checkpoint_every_steps: int | None = Field(default=None, ge=1)
    """Further checkpoints inside an epoch, at every multiple of this many steps counted from the epoch's start."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept."""
    models_every: Cadence | None = None
    """Keep the inference weights as a model version; the best and the last are always kept."""
    feed: Literal["auto", "resident", "stream"] = "auto"
    """resident: the decoded set is kept once in the object store; stream: it is read again every epoch, in constant
    memory; auto: resident when it fits."""
    shuffle_window: int = Field(default=4, ge=1)
    """Rows that are mixed with each other, in shards of the prepared data (about 32 MiB each); a worker that streams
    holds its share of about two such windows."""
    profile: Profile | None = None
    max_failures: int = Field(default=3, ge=0)
    """Restarts from the last checkpoint after the loss of a worker."""

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("give exactly one of `epochs` and `max_steps`")
        if self.compile and self.activation_checkpointing:
            raise ValueError(
                "`compile` chooses by itself what is computed again in the backward pass; give it or "
                "`activation_checkpointing`"
            )
        if self.batch_size < self.accumulate:
            raise ValueError(f"`accumulate` ({self.accumulate}) must be at most `batch_size` ({self.batch_size})")
        if self.epochs is not None and self.epochs <= self.schedule.warmup_epochs:
            raise ValueError(
                f"`schedule.warmup_epochs` ({self.schedule.warmup_epochs}) must be below `epochs` ({self.epochs}), or "
                "the rate never reaches its peak; train longer or give a shorter warm-up"
            )
        return self
