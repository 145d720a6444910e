"""Grammar of losses: terms `weight*TYPE` joined by `+`, for example `1*L1+0.005*FFT`."""

import math
import re
from dataclasses import dataclass

from data_pipelines.contract.did_you_mean import suggest

LOSS_TYPES = ("L1", "MSE", "FFT", "FFTL1", "StableFFT", "Freq", "FreqNorm")


@dataclass(frozen=True)
class Term:
    """One term of a loss."""

    weight: float
    type: str

    @property
    def metric(self) -> str:
        """The term's name in the rows, after `train/`."""
        return self.type.lower()


def parse_loss(text: str) -> tuple[Term, ...]:
    """Parse the terms of a loss, each type once. Raises ValueError listing what is allowed."""
    terms = tuple(_parse_term(part.strip(), text) for part in text.split("+"))
    types = [term.type for term in terms]
    if len(set(types)) != len(types):
        raise ValueError(f"{text!r} names a type twice; add up its weights")
    return terms


def _parse_term(part: str, text: str) -> Term:
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(?:e(-?\d+))?\s*\*\s*(\w+)", part)
    if match is None:
        raise ValueError(f"{part!r} in {text!r} is no term of a loss; write weight*TYPE, for example 1*L1+0.005*FFT")
    weight = float(match[1]) * 10.0 ** int(match[2] or 0)
    if not weight > 0 or not math.isfinite(weight):
        raise ValueError(f"the weight in {part!r} must be above 0")
    if match[3] not in LOSS_TYPES:
        raise ValueError(f"{match[3]!r} in {text!r} is no type of loss; {suggest(match[3], LOSS_TYPES)}")
    return Term(weight, match[3])
