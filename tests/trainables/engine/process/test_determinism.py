"""Random states: kept and put back exactly; seeds of different purposes differ."""

import io
import random

import numpy as np
import pytest
import torch

from trainables.contract.seeding import build_numpy_generator, derive_seed
from trainables.engine.process.determinism import capture_random_states, restore_random_states, seed_globals

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def untouched_globals():
    """The tests move the global streams; other tests must not notice."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


def draw() -> list[float]:
    """From every stream; odd numbers of normals leave a half-used pair behind."""
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.normal()),
        float(np.random.random()),
        float(torch.randn(())),
        float(torch.randn(3)[0]),
    ]


@pytest.mark.parametrize("num_draws", [0, 1, 2, 7])
def test_every_stream_resumes_exactly_where_it_was_captured(num_draws):
    seed_globals(3, rank=1)
    for _ in range(num_draws):
        draw()
    file = io.BytesIO()
    torch.save(capture_random_states(), file)
    expected = [draw() for _ in range(5)]
    seed_globals(99, rank=0)
    file.seek(0)
    restore_random_states(torch.load(file, weights_only=True))
    assert [draw() for _ in range(5)] == expected


def test_keeping_the_states_moves_none_of_them():
    results = []
    for captures in (False, True):
        seed_globals(3, rank=0)
        if captures:
            capture_random_states()
        results.append(draw())
    assert results[0] == results[1]


def test_captured_states_do_not_change_when_streams_advance():
    seed_globals(3, rank=0)
    states = capture_random_states()
    expected = [draw() for _ in range(3)]
    for _ in range(700):
        draw()
    restore_random_states(states)
    assert [draw() for _ in range(3)] == expected


def test_seeds_differ_between_purposes_ranks_and_epochs():
    parts = [
        (seed, word, rank, epoch) for seed in range(3) for word in "ab" for rank in range(4) for epoch in range(12)
    ]
    seeds = [derive_seed(*part) for part in parts]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_numbers_that_run_together_give_different_seeds():
    assert len({derive_seed(1, 11), derive_seed(11, 1), derive_seed(111), derive_seed("1", "1", "1")}) == 4


def test_a_seed_is_the_same_in_every_process_and_version():
    """A change here makes every old checkpoint go on with other random numbers."""
    assert derive_seed(0, "order", 1) == 4489457307835839548


def test_two_generators_of_the_same_parts_draw_the_same():
    draws = [build_numpy_generator(0, "step", rank, 1).random(5).tolist() for rank in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_global_random_streams_differ_by_rank_and_repeat():
    draws = []
    for rank in (0, 1, 0):
        seed_globals(5, rank)
        draws.append((random.random(), float(np.random.random()), float(torch.rand(()))))
    assert draws[0] == draws[2]
    assert all(first != second for first, second in zip(draws[0], draws[1], strict=True))
