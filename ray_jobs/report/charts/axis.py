"""Axis of a chart: its ticks, and the pixel of a value."""

import math
from dataclasses import dataclass

NUM_TICKS = 5
PAD = 0.04
"""Share of the span that an axis extends beyond the least and the greatest value."""


@dataclass(frozen=True)
class Axis:
    """Axis from `low` at pixel `start` to `high` at pixel `end`."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high, value = (math.log10(each) if self.is_log else each for each in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round values between both ends."""
        return log_ticks(self.low, self.high) if self.is_log else linear_ticks(self.low, self.high)


def build_axis(low: float, high: float, start: float, end: float, *, is_log: bool = False, pad: float = PAD) -> Axis:
    """Build an axis that contains both values, with some room around them.

    Args:
        low: The least value.
        high: The greatest value.
        start: Pixel of the axis's low end.
        end: Pixel of the axis's high end.
        is_log: Whether the scale is logarithmic.
        pad: Share of the span that is added at each end.
    """
    if is_log:
        factor = (high / low) ** pad if high > low else 2.0
        return Axis(low / factor, high * factor, start, end, is_log=True)
    room = (high - low) * pad if high > low else abs(high) * 0.1 or 1.0
    return Axis(low - room, high + room, start, end)


def linear_ticks(low: float, high: float) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / NUM_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten, fewer when there are many; with 2 and 5 times each when there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(round((last - first) / NUM_TICKS), 1)
    powers = [float(f"1e{power}") for power in range(first, last + 1, stride)]
    inside = [value for value in powers if low <= value <= high]
    if len(inside) > 2:
        return inside
    finer = [factor * float(f"1e{power}") for power in range(first, last + 1) for factor in (1, 2, 5)]
    inside = [value for value in finer if low <= value <= high]
    return inside if len(inside) > 1 else linear_ticks(low, high)
