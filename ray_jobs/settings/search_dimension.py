"""Dimension of a search space: which values a setting may take, and how one is drawn."""

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from data_pipelines.contract.config import Config

KINDS = ("choice", "uniform", "loguniform", "integer", "loginteger", "of")


class Dimension(Config):
    """Values of a setting, of exactly one kind. A plain list in YAML is a `choice`."""

    choice: tuple[Any, ...] | None = Field(default=None, min_length=1)
    """Any of these; a grid takes each."""
    uniform: tuple[float, float] | None = None
    """Numbers from the first to the second."""
    loguniform: tuple[float, float] | None = None
    """Numbers from the first to the second, uniform in the logarithm."""
    integer: tuple[int, int] | None = None
    """Integers from the first to the second, both included."""
    loginteger: tuple[int, int] | None = None
    """Integers from the first to the second, both included, uniform in the logarithm."""
    step: int = Field(default=1, ge=1)
    """`integer` only: the distance between two values, counted from the first."""
    of: str | None = None
    """Another key of the space, whose value sets this one: multiplied by `times`, or looked up in `map`."""
    times: float | None = None
    """Factor on the other key's value."""
    map: dict[str, Any] | None = None
    """Value for each value of the other key."""

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        given = {"choice": value} if isinstance(value, list) else value
        if not isinstance(given, dict):
            raise ValueError(f"{value!r} is no dimension; write a list, or for example {{uniform: [0.0, 1.0]}}")
        return {name: tuple(part) if isinstance(part, list) else part for name, part in given.items()}

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(KINDS)}; given: {', '.join(given) or 'none'}")
        (kind,) = given
        if kind == "of" and (self.times is None) == (self.map is None):
            raise ValueError("`of` needs exactly one of `times` and `map`")
        if kind != "of" and not (self.times is None and self.map is None):
            raise ValueError("`times` and `map` are only for `of`")
        if kind != "integer" and self.step != 1:
            raise ValueError("`step` is only for `integer`")
        if kind in ("uniform", "loguniform", "integer", "loginteger"):
            self._refuse_bad_range(kind)
        return self

    def _refuse_bad_range(self, kind: str) -> None:
        low, high = self.bounds
        if not low < high:
            raise ValueError(f"`{kind}` is [{low}, {high}]; the first must be below the second")
        if kind.startswith("log") and low <= 0:
            raise ValueError(f"`{kind}` begins at {low}; it must be above 0")

    @property
    def is_finite(self) -> bool:
        """Whether a grid can take each value."""
        return self.choice is not None

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value of a range."""
        bounds = self.uniform or self.loguniform or self.integer or self.loginteger
        assert bounds is not None
        return bounds

    @property
    def extremes(self) -> Sequence[Any]:
        """The values whose check shows whether all can be used: every choice, or both ends of a range."""
        if self.of is not None:
            return ()
        return self.choice if self.choice is not None else self.bounds

    def draw(self, random: np.random.Generator) -> Any:
        if self.choice is not None:
            return self.choice[int(random.integers(len(self.choice)))]
        if self.integer is not None:
            low, high = self.integer
            return int(low + self.step * random.integers((high - low) // self.step + 1))
        low, high = self.bounds
        if self.uniform is not None:
            return float(random.uniform(low, high))
        value = float(np.clip(math.exp(random.uniform(math.log(low), math.log(high))), low, high))
        return round(value) if self.loginteger is not None else value

    def derive(self, key: str, value: Any) -> Any:
        """Return the value that belongs to `value` of the key `of`. Raises ValueError when `map` has none."""
        if self.map is None:
            product = value * self.times
            return int(product) if isinstance(value, int) and product == int(product) else product
        if str(value) not in self.map:
            raise ValueError(f"{key}: `map` has no entry for {self.of} = {value!r}; it has {', '.join(self.map)}")
        return self.map[str(value)]
