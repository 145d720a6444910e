"""Formats of numbers for people."""

import math

PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float | int | None) -> str:
    """Format a number with four digits, an integer with all of its own, as `1,618,048`; None as nothing."""
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value == round(value) and abs(value) < 1e15:
        return f"{round(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


def short(value: float) -> str:
    """Format a number for an axis: `20k`, `1.5M`, `0.02`, `2e-5`."""
    for size, prefix in PREFIXES:
        if abs(value) >= size and (size > 1e3 or abs(value) >= 1e4):
            return f"{value / size:.4g}{prefix}"
    if value and abs(value) < 1e-3:
        mantissa, _, power = f"{value:.3e}".partition("e")
        return f"{float(mantissa):g}e{int(power)}"
    return f"{value:.6g}"
