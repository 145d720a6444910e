"""Schedules of RSST's regularisation strength over a round."""

import math

from trainables.workloads.pruning.config import Regularisation


def compute_progress(update: int, num_updates: int, settings: Regularisation) -> float:
    """Compute u of the optimiser step after `update` done ones, out of `num_updates`.

    The value is above 0, and 1 in the final hold.
    """
    interval = settings.update_interval
    reached = update // interval * interval + interval
    growing = max(num_updates * (1 - settings.hold_ratio), 1.0)
    return min(reached / growing, 1.0)


def compute_lambda(u: float, settings: Regularisation) -> float:
    """Compute lambda at u in [0, 1]; every schedule reaches its ceiling g at u = 1 (see `Regularisation.schedule`)."""
    g = settings.reg_granularity_prune
    if settings.schedule == "x":
        return g * u
    if settings.schedule == "x^2":
        return g * u**2
    if settings.schedule == "x^3":
        return g * u**3
    if settings.schedule == "exp":
        return g * math.exp(u - 1)
    power = settings.exponents if settings.schedule == "exp_custom_exponents" else 1
    return g * math.expm1(u**power) / math.expm1(1)
