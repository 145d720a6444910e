"""Settings of the `search` section: the space, the searcher, and the scheduler that stops trials early."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from data_pipelines.contract.config import Config, FilePath
from data_pipelines.contract.did_you_mean import suggest
from ray_jobs.settings.search_dimension import Dimension
from trainables.contract.training_config import Cadence
from trainables.contract.workload_config import SelectionMetric

FIXED = ("scaling", "storage", "tracking", "search", "seed")
"""Sections that all trials share."""
GUIDED = ("tpe", "gp")
"""Searchers that learn from results."""


class Fifo(Config):
    """First in, first out: every trial runs to its end."""

    name: Literal["fifo"] = "fifo"


class Asha(Config):
    """Asynchronous successive halving (Li et al. 2020).

    Of all trials that have come to `grace`, and then each time `reduction_factor` times as far, the best
    1/`reduction_factor` continue.
    """

    name: Literal["asha"] = "asha"
    grace: Cadence = Cadence(count=1, unit="epochs")
    """No trial is stopped earlier."""
    reduction_factor: int = Field(default=3, ge=2)
    """Of the trials that have come so far, one in this many goes on."""


class MedianStopping(Config):
    """Median stopping: a trial stops when its best value is worse than the median of the others' means at that time."""

    name: Literal["median"] = "median"
    grace: Cadence = Cadence(count=1, unit="epochs")
    """No trial is stopped earlier."""
    min_trials: int = Field(default=3, ge=1)
    """Other trials that must have come as far."""


class PopulationBased(Config):
    """Population-based training (Jaderberg et al. 2017).

    Every `perturb_every`, trials of the worst quantile resume from the checkpoint of one of the best, with its settings
    changed.
    """

    name: Literal["pbt"] = "pbt"
    perturb_every: Cadence
    """Distance of two changes."""
    mutates: tuple[str, ...] = Field(min_length=1)
    """Keys of the space whose values change while a trial runs; settings of `training.optimizer`."""
    quantile: float = Field(default=0.25, gt=0, le=0.5)
    """Share of the trials that count as worst, and as best."""
    resample_ratio: float = Field(default=0.25, ge=0, le=1)
    """Probability that a changed value is drawn from the space, instead of being multiplied by 1.2 or 0.8."""

    @field_validator("mutates")
    @classmethod
    def _belong_to_the_optimizer(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for key in value:
            if not key.startswith("training.optimizer.") or key == "training.optimizer.name":
                raise ValueError(f"{key!r} cannot change in a running trial; numbers of training.optimizer can")
        return value


Scheduler = Annotated[Fifo | Asha | MedianStopping | PopulationBased, Field(discriminator="name")]


class Search(Config):
    """Search, whose trials are the points of the space, each with every seed, on every experiment."""

    space: dict[str, Dimension] = {}
    """Dotted settings, each with the values that it may take."""
    seeds: tuple[int, ...] = Field(default=(), max_length=1000)
    """Each point is trained with each of these, and judged by the mean; by default with the experiment's own seed."""
    experiments: tuple[FilePath, ...] = ()
    """Further experiment files, beside the one that holds this section, searched in the same way and ranked each by
    itself. In a file they are relative to it."""
    ranks_apart: tuple[str, ...] = ()
    """Keys of the space whose values are ranked each by itself, because they make trials that cannot be compared."""
    searcher: Literal["grid", "random", "tpe", "gp"] | None = None
    """grid: every combination of choices. random. tpe: the tree-structured Parzen estimator of Optuna (Bergstra et al.
    2011), and gp: Gaussian processes, for few and costly points; both for several objectives as well. null: grid when
    the space has only choices, else random."""
    num_points: int | None = Field(default=None, ge=1, le=100_000)
    """Points to try; needed by all but grid."""
    objectives: tuple[SelectionMetric, ...] = ()
    """Metrics to rank by; schedulers compare the first. By default the workload's goal."""
    take: Literal["best", "last"] = "best"
    """The evaluation by which a trial counts: its best, or its last."""
    scheduler: Scheduler = Fifo()
    """Rule that stops or changes trials while they run; fifo lets all run to their end."""
    max_concurrent: int | None = Field(default=None, ge=1)
    """Trials at the same time; by default, and always with pbt, as many as the cluster has room for."""
    retries: int = Field(default=1, ge=0, le=100)
    """How often a failed trial resumes from its checkpoint before it is marked as failed."""

    @property
    def method(self) -> Literal["grid", "random", "tpe", "gp"]:
        """The searcher that is set, or else the one that the space asks for."""
        all_finite = all(dimension.is_finite or dimension.of for dimension in self.space.values())
        return self.searcher or ("grid" if all_finite else "random")

    @field_validator("space")
    @classmethod
    def _keys_may_change(cls, value: dict[str, Dimension]) -> dict[str, Dimension]:
        for key, dimension in value.items():
            section = key.partition(".")[0]
            if section in FIXED or key == "workload.name":
                advice = "give `seeds`" if section == "seed" else "it is the same for all trials"
                raise ValueError(f"{key!r} cannot be searched over; {advice}")
            if dimension.of is not None:
                other = value.get(dimension.of)
                if other is None or other.of is not None:
                    raise ValueError(f"{key}: `of` names {dimension.of!r}; {suggest(dimension.of, value)}")
        return value

    @field_validator("seeds")
    @classmethod
    def _differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"{list(value)}; name each seed once")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not (self.space or self.seeds or self.experiments):
            raise ValueError("give at least one of `space`, `seeds` and `experiments`")
        infinite = [key for key, dimension in self.space.items() if not (dimension.is_finite or dimension.of)]
        if self.method == "grid" and infinite:
            raise ValueError(f"a grid needs lists of values; {infinite[0]} is a range")
        if self.method != "grid" and self.num_points is None:
            raise ValueError(f"`num_points` is needed by the searcher {self.method}")
        for key in self.ranks_apart:
            if key not in self.space:
                raise ValueError(f"`ranks_apart` names {key!r}; {suggest(key, self.space)}")
        if (self.experiments or self.ranks_apart) and (self.method in GUIDED or self.scheduler.name != "fifo"):
            raise ValueError("trials that are ranked apart are not compared; use grid or random, and fifo")
        if isinstance(self.scheduler, PopulationBased):
            self._refuse_mutations(self.scheduler)
        return self

    def _refuse_mutations(self, scheduler: PopulationBased) -> None:
        for key in scheduler.mutates:
            if key not in self.space or self.space[key].of is not None:
                raise ValueError(f"`mutates` names {key!r}; {suggest(key, self.space)}")
        for key, dimension in self.space.items():
            if dimension.of in scheduler.mutates:
                raise ValueError(f"{key} is `of` {dimension.of}, which `mutates` names; it would not change with it")
        if self.max_concurrent is not None:
            raise ValueError("`max_concurrent` has no effect with pbt, whose trials all take turns; leave it out")
