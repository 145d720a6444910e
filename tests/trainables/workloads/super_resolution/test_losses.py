"""The grammar of losses, and each of its terms against sums written from the definition."""

import cmath
import math

import pytest
import torch

from trainables.workloads.super_resolution.loss_grammar import LOSS_TYPES, Term, parse_loss
from trainables.workloads.super_resolution.losses import compute_terms


def images(seed: int) -> torch.Tensor:
    return torch.rand(2, 2, 4, 5, generator=torch.Generator().manual_seed(seed))


X, Y = images(0), images(1)


def transform(x: torch.Tensor) -> list[list[complex]]:
    """The discrete Fourier transform of [height, width] by its definition."""
    height, width = x.shape
    return [
        [
            sum(
                float(x[a, b]) * cmath.exp(-2j * math.pi * (u * a / height + v * b / width))
                for a in range(height)
                for b in range(width)
            )
            for v in range(width)
        ]
        for u in range(height)
    ]


def differences() -> list[list[list[complex]]]:
    return [transform(X[i, c] - Y[i, c]) for i in range(2) for c in range(2)]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


L1 = mean([abs(a - b) for a, b in zip(X.flatten().tolist(), Y.flatten().tolist(), strict=True)])
HALF = 5 // 2 + 1  # columns that a real transform keeps


def naive(name: str) -> float:
    bins = [(u, v, value) for each in differences() for u, row in enumerate(each) for v, value in enumerate(row)]
    half = [abs(value) for u, v, value in bins if v < HALF]
    without_mean = [abs(value) / math.sqrt(4 * 5) for u, v, value in bins if v < HALF and (u, v) != (0, 0)]
    return {
        "L1": L1,
        "MSE": mean([(a - b) ** 2 for a, b in zip(X.flatten().tolist(), Y.flatten().tolist(), strict=True)]),
        "FFT": mean([abs(part) for _, _, value in bins for part in (value.real, value.imag)]),
        "FFTL1": mean(half),
        "StableFFT": L1 + 0.01 * mean(without_mean),
        "Freq": L1 + 0.01 * mean(half),
        "FreqNorm": L1 + 0.01 * mean(half),
    }[name]


@pytest.mark.parametrize("name", LOSS_TYPES)
def test_each_term_equals_its_definition(name):
    [(metric, value)] = compute_terms([Term(3.0, name)], X, Y).items()
    assert metric == name.lower()
    assert float(value) == pytest.approx(3 * naive(name), rel=1e-5)


@pytest.mark.parametrize("name", LOSS_TYPES)
def test_equal_images_have_no_loss(name):
    assert float(compute_terms([Term(1.0, name)], X, X)[name.lower()]) == 0


def test_half_precision_is_lifted_before_the_transform():
    value = compute_terms(parse_loss("1*FFT"), X.bfloat16(), Y)["fft"]
    assert value.dtype == torch.float32 and torch.isfinite(value)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("1*L1", [(1, "L1")]),
        ("1*L1+0.005*FFT", [(1, "L1"), (0.005, "FFT")]),
        (" 2.5 * MSE + 1e-2*Freq", [(2.5, "MSE"), (0.01, "Freq")]),
        (".5*StableFFT+1*FFTL1", [(0.5, "StableFFT"), (1, "FFTL1")]),
    ],
)
def test_losses_are_read(text, terms):
    assert [(term.weight, term.type) for term in parse_loss(text)] == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L1", "'L1' in 'L1' is no term of a loss; write weight"),
        ("", "is no term"),
        ("1*L1+", "'' in '1\\*L1\\+' is no term"),
        ("1*l1", "'l1' .* is no type of loss; did you mean 'L1'"),
        ("1*VGG54", "allowed: FFT, FFTL1"),
        ("0*L1", "must be above 0"),
        ("-1*L1", "is no term"),
        ("1*L1+2*L1", "names a type twice"),
    ],
)
def test_wrong_losses_are_explained(text, message):
    with pytest.raises(ValueError, match=message):
        parse_loss(text)
