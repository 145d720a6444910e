"""Samplers of a search's points: grid, random, and Optuna's.

Samplers keep no state across restarts: after an interruption the results of the points that were tried are replayed
through `tell`, in their order, so that the choice continues as before.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ray_jobs.settings.search import Search
from ray_jobs.settings.search_dimension import Dimension
from trainables.contract.workload_config import SelectionMetric

Point = dict[str, Any]
"""Values by dotted key."""
SALT = 0x5EA7C4


class Sampler(ABC):
    """Sampler of points, one after the other."""

    @abstractmethod
    def choose(self, number: int) -> Point | None:
        """Return point number `number`, counted from 0; None when there are no more."""

    def tell(self, point: Point, values: Sequence[float] | None) -> None:  # noqa: B027
        """Take what a point has reached, by objective, None when it failed; by default nothing is learnt from it."""


def build_sampler(search: Search, goals: Sequence[SelectionMetric], seed: int) -> Sampler:
    """Build the sampler that the settings name."""
    if search.method == "grid":
        return Grid(search)
    if search.method == "random":
        return RandomSampler(search, seed)
    return OptunaSampler(search, goals, seed)


def derive(space: Mapping[str, Dimension], point: Point) -> Point:
    """Add the dependent dimensions (`of:`) to a point, with keys in the order of the space. Raises ValueError."""
    return {
        key: dimension.derive(key, point[dimension.of]) if dimension.of else point[key]
        for key, dimension in space.items()
    }


class Grid(Sampler):
    """Grid of every combination of choices; the last key changes first."""

    def __init__(self, search: Search):
        self._space = search.space
        free = {key: dimension.extremes for key, dimension in search.space.items() if not dimension.of}
        self._free, self._points = list(free), list(itertools.product(*free.values()))

    @property
    def size(self) -> int:
        return len(self._points)

    def choose(self, number: int) -> Point | None:
        if number >= len(self._points):
            return None
        return derive(self._space, dict(zip(self._free, self._points[number], strict=True)))


def count_points(search: Search) -> int:
    """Return the number of points that the settings ask for; a grid has an end of its own."""
    size = Grid(search).size if search.method == "grid" else search.num_points
    return min(size or 0, search.num_points or size or 0)


class RandomSampler(Sampler):
    """Sampler of independent draws; point number n is the same in every start."""

    def __init__(self, search: Search, seed: int):
        self._space, self._seed = search.space, seed

    def choose(self, number: int) -> Point | None:
        random = np.random.default_rng((SALT, self._seed, number))
        drawn = {key: dimension.draw(random) for key, dimension in self._space.items() if not dimension.of}
        return derive(self._space, drawn)


class OptunaSampler(Sampler):
    """Sampler by one of Optuna's that learn from results, through its ask-and-tell interface."""

    def __init__(self, search: Search, goals: Sequence[SelectionMetric], seed: int):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self._space, self._seed, self._method = optuna, search.space, seed, search.method
        free = {key: dimension for key, dimension in search.space.items() if not dimension.of}
        self._distributions = {key: self._distribution(dimension) for key, dimension in free.items()}
        self._directions = ["minimize" if goal.mode == "min" else "maximize" for goal in goals]
        self._replayed: list[Any] = []

    def _distribution(self, dimension: Dimension) -> Any:
        kinds = self._optuna.distributions
        if dimension.choice is not None:
            return kinds.CategoricalDistribution(range(len(dimension.choice)))
        low, high = dimension.bounds
        if dimension.integer or dimension.loginteger:
            whole = int(high - (high - low) % dimension.step)
            return kinds.IntDistribution(int(low), whole, log=dimension.loginteger is not None, step=dimension.step)
        return kinds.FloatDistribution(low, high, log=dimension.loguniform is not None)

    def choose(self, number: int) -> Point | None:
        """Return a point that follows from all results; the number seeds it, so that a restart repeats no draw."""
        seed, samplers = self._seed * 100_003 + number, self._optuna.samplers
        sampler = (
            samplers.GPSampler(seed=seed)
            if self._method == "gp"
            else samplers.TPESampler(seed=seed, multivariate=False)
        )
        study = self._optuna.create_study(directions=self._directions, sampler=sampler)
        study.add_trials(self._replayed)
        drawn = study.ask(self._distributions).params
        chosen = {
            key: self._space[key].choice[value] if self._space[key].choice is not None else value  # pyright: ignore
            for key, value in drawn.items()
        }
        return derive(self._space, chosen)

    def tell(self, point: Point, values: Sequence[float] | None) -> None:
        """Add a result; a failed point is left out."""
        if values is None:
            return
        params = {key: self._encode(key, point[key]) for key in self._distributions}
        trial = self._optuna.trial.create_trial(params=params, distributions=self._distributions, values=list(values))
        self._replayed.append(trial)

    def _encode(self, key: str, value: Any) -> Any:
        choice = self._space[key].choice
        return value if choice is None else list(choice).index(value)
