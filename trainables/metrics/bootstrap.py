"""Bootstrap confidence intervals: percentiles of a score over units drawn again with replacement (Efron 1979)."""

from collections.abc import Callable, Mapping

import numpy as np

from trainables.contract.workload_config import INTERVAL

NUM_DRAWS = 1000
LEVEL = 0.95
LEAST_DEFINED = 0.9
"""Share of the draws in which a score must be defined to get an interval."""


def bootstrap(
    units: np.ndarray,
    score: Callable[[np.ndarray], Mapping[str, float]],
    *,
    seed: int = 0,
    num_draws: int = NUM_DRAWS,
) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each score, by name; a score that is undefined in many draws has none.

    All rows of a drawn unit, such as a patient, are taken, as often as it is drawn. `score` computes scores from the
    numbers of rows, which may repeat.
    """
    draws = np.random.default_rng(seed)
    members = [np.flatnonzero(units == unit) for unit in np.unique(units)]
    found: dict[str, list[float]] = {}
    for _ in range(num_draws if members else 0):
        chosen = draws.integers(0, len(members), len(members))
        for name, value in score(np.concatenate([members[each] for each in chosen])).items():
            found.setdefault(name, []).append(value)
    tail = 50 * (1 - LEVEL)
    return {
        name: (float(np.percentile(values, tail)), float(np.percentile(values, 100 - tail)))
        for name, values in found.items()
        if len(values) >= LEAST_DEFINED * num_draws
    }


def bootstrap_ends(units: np.ndarray, score: Callable[[np.ndarray], Mapping[str, float]]) -> dict[str, float]:
    """Return the ends of the intervals of `bootstrap` as `<name>_low` and `<name>_high`."""
    found = bootstrap(units, score)
    return {name + end: value for name, ends in found.items() for end, value in zip(INTERVAL, ends, strict=True)}
