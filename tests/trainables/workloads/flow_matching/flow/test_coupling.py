from itertools import permutations

import torch

from trainables.workloads.flow_matching.flow.path import pair_optimally


def cost(x_0: torch.Tensor, x_1: torch.Tensor) -> float:
    return float((x_0 - x_1).square().sum())


def rows(num_rows: int, seed: int) -> torch.Tensor:
    return torch.randn(num_rows, 1, 2, 2, generator=torch.Generator().manual_seed(seed))


def test_cost_equals_the_least_over_all_permutations():
    for seed in range(5):
        x_0, x_1 = rows(6, seed), rows(6, seed + 100)
        least = min(cost(x_0[list(order)], x_1) for order in permutations(range(6)))
        assert abs(cost(pair_optimally(x_0, x_1), x_1) - least) < 1e-4


def test_cost_is_below_that_of_the_independent_coupling():
    x_0, x_1 = rows(64, 1), rows(64, 2)
    assert cost(pair_optimally(x_0, x_1), x_1) < 0.8 * cost(x_0, x_1)


def test_every_noise_is_used_once():
    x_0 = rows(40, 3)
    paired = pair_optimally(x_0, rows(40, 4))
    assert torch.equal(paired.flatten(1).sum(1).sort().values, x_0.flatten(1).sum(1).sort().values)


def test_shuffled_images_are_matched_to_their_nearby_noise():
    x_1 = rows(20, 5)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(6))
    assert torch.equal(pair_optimally(x_1[order], x_1), x_1)
