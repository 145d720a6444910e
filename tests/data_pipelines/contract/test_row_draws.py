"""Random draws: a row gets the same numbers whoever holds it, and beside whatever rows."""

from functools import partial

import numpy as np
import pytest
import torch

from data_pipelines.contract.row_draws import BLOCK, NumpyDraws, TorchDraws, numpy_draws, torch_draws
from trainables.contract.seeding import derive_seed

SEED_OF = partial(derive_seed, 0, "test", 1, 2)
ROWS = 3 * BLOCK + 5
PARTS = [
    pytest.param([range(ROWS)], id="one"),
    pytest.param([range(0, 10), range(10, ROWS)], id="two"),
    pytest.param([range(first, first + 1) for first in range(ROWS)], id="single"),
    pytest.param([[3, 28, 0, 17], [5, 4]], id="any order"),
    pytest.param([np.random.default_rng(0).permutation(ROWS)], id="shuffled"),
]


def drawn(draws: NumpyDraws | TorchDraws) -> list[np.ndarray]:
    more = [draws.normal(4)] if isinstance(draws, TorchDraws) else []
    return [np.asarray(each) for each in (draws.uniform(), draws.uniform(2, 3), draws.integers(7), *more)]


@pytest.mark.parametrize("kind", [NumpyDraws, TorchDraws])
@pytest.mark.parametrize("parts", PARTS)
def test_a_row_gets_its_numbers_in_any_part(kind, parts):
    whole = drawn(kind(range(ROWS), SEED_OF))
    for part in parts:
        for numbers, expected in zip(drawn(kind(part, SEED_OF)), whole, strict=True):
            assert np.array_equal(numbers, expected[np.asarray(part)])


@pytest.mark.parametrize("parts", PARTS)
def test_the_parts_of_a_row_get_their_numbers_with_any_rows(parts):
    whole = drawn(TorchDraws(range(ROWS), SEED_OF).for_parts(3))
    assert [len(each) for each in whole] == [3 * ROWS] * 4 and len(np.unique(whole[0])) > 3 * ROWS - 2
    for part in parts:
        places = (np.asarray(part)[:, None] * 3 + np.arange(3)).ravel()
        for numbers, expected in zip(drawn(TorchDraws(part, SEED_OF).for_parts(3)), whole, strict=True):
            assert np.array_equal(numbers, expected[places])


@pytest.mark.parametrize("kind", [NumpyDraws, TorchDraws])
def test_rows_steps_and_calls_get_numbers_of_their_own(kind):
    draws = kind(range(50), SEED_OF)
    first, second = np.asarray(draws.uniform()), np.asarray(draws.uniform())
    other = np.asarray(kind(range(50), partial(derive_seed, 0, "test", 1, 3)).uniform())
    assert len(np.unique(np.concatenate([first, second, other]))) > 148  # float32 may meet by chance


@pytest.mark.parametrize("kind", [NumpyDraws, TorchDraws])
def test_numbers_follow_their_distributions(kind):
    draws = kind(range(20_000), SEED_OF)
    uniform, whole = np.asarray(draws.uniform()), np.asarray(draws.integers(5))
    assert uniform.min() >= 0 and uniform.max() < 1 and uniform.mean() == pytest.approx(0.5, abs=0.01)
    assert np.bincount(whole, minlength=5) == pytest.approx([4000] * 5, abs=300)


def test_normal_numbers_have_mean_0_and_deviation_1():
    normal = torch_draws(5000, seed=1).normal(4)
    assert normal.shape == (5000, 4) and normal.dtype == torch.float32
    assert abs(float(normal.mean())) < 0.03 and float(normal.std()) == pytest.approx(1, abs=0.03)


def test_draws_of_the_batch_are_the_same_on_every_worker():
    parts = [range(0, 3), range(3, 40), range(2, 3)]
    assert len({int(NumpyDraws(part, SEED_OF).for_batch().integers(2**40)) for part in parts}) == 1
    assert len({float(torch.rand((), generator=TorchDraws(part, SEED_OF).for_batch())) for part in parts}) == 1
    assert numpy_draws(1, seed=0).for_batch().random() != numpy_draws(1, seed=1).for_batch().random()
