import torch
from torch import nn

from trainables.contract.seeding import seeded_generator, seeded_initialisation


def draw(seed: int, purpose: str, index: int = 0) -> tuple[float, ...]:
    return tuple(torch.rand(3, generator=seeded_generator(seed, purpose, index)).tolist())


def test_a_stream_is_repeated_by_its_arguments_and_by_no_others():
    assert draw(1, "a", 2) == draw(1, "a", 2)
    assert len({draw(1, "a"), draw(2, "a"), draw(1, "b"), draw(1, "a", 1), draw(1, "a", 2)}) == 5


def test_initialisation_follows_the_seed_not_the_global_state():
    weights = []
    for global_seed, seed in ((0, 5), (1, 5), (1, 6)):
        torch.manual_seed(global_seed)
        expected = torch.rand(3)
        torch.manual_seed(global_seed)
        with seeded_initialisation(seed, "test"):
            weights.append(nn.Linear(3, 3).weight)
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])
