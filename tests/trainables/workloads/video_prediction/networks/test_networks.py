"""DiT, past encoder and convolutional baseline: counts, conditioning, initial state."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from trainables.contract.seeding import seeded_initialisation
from trainables.workloads.video_prediction.network_config import ConvolutionalBaseline, DiT, PastEncoder
from trainables.workloads.video_prediction.networks.dit import PastFrames, VideoDiT, encode_positions
from trainables.workloads.video_prediction.networks.simvp import SimVP


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def tiny(is_random: bool = True, num_future: int = 3) -> VideoDiT:
    config = DiT(size="mini", past=PastEncoder(channels=16, num_groups=4, num_layers=2, patch_size=4))
    with seeded_initialisation(0, "tiny"):
        network = VideoDiT(config, channels=1, height=8, width=12, num_future=num_future)
        if is_random:
            for parameter in network.parameters():
                nn.init.normal_(parameter, std=0.1)
    return network.eval()


def inputs(batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(batch, 3, 1, 8, 12, generator=generator)
    return x_t, torch.tensor([10, 700])[:batch], torch.randn(batch, 4, 1, 8, 12, generator=generator)


def test_the_past_encoder_has_the_published_size():
    with torch.device("meta"):
        assert count(PastFrames(PastEncoder(), channels=4)) == 5_536_000


PUBLISHED = {
    ("XL", 2): 674_848_528,
    ("XL", 4): 678_498_112,
    ("XL", 8): 693_096_448,
    ("L", 2): 457_852_944,
    ("L", 4): 461_097_024,
    ("L", 8): 474_073_344,
    ("B", 2): 130_325_008,
    ("B", 4): 132_758_080,
    ("B", 8): 142_490_368,
    ("S", 2): 32_869_648,
    ("S", 4): 34_086_208,
    ("S", 8): 38_952_448,
}


@pytest.mark.parametrize(("size", "patch"), PUBLISHED)
def test_latent_sizes_at_256x448_have_the_listed_counts(size, patch):
    with torch.device("meta"):
        network = VideoDiT(
            DiT(size=size, patch_size=patch, past=PastEncoder()), channels=4, height=32, width=56, num_future=4
        )
    assert count(network) - count(network.past) == PUBLISHED[size, patch]
    assert count(network) == _count_by_hand(size, patch)


def _count_by_hand(size: str, patch: int) -> int:
    depth, dim = {"XL": (28, 1152), "L": (24, 1024), "B": (12, 768), "S": (12, 384)}[size]
    linear = lambda inner, outer: inner * outer + outer  # noqa: E731
    block = linear(dim, 6 * dim) + linear(dim, 3 * dim) + linear(dim, dim) + linear(dim, 4 * dim) + linear(4 * dim, dim)
    embeddings = linear(4 * patch**2, dim) + linear(256 * patch**2, dim) + linear(256, dim) + linear(dim, dim) + 4 * dim
    return 5_536_000 + depth * block + embeddings + linear(dim, 2 * dim) + linear(dim, 4 * patch**2)


def test_small_sizes_for_pixels():
    small = VideoDiT(DiT(), channels=1, height=64, width=64, num_future=4)
    assert count(small) == 4_551_248 and len(small.blocks) == 6


def test_it_starts_as_zero_and_its_blocks_as_the_identity():
    network = tiny(is_random=False)
    x_t, t, past = inputs()
    assert torch.equal(network(x_t, t, past), torch.zeros(2, 3, 1, 8, 12))
    tokens, condition = torch.randn(1, 6, 96), torch.randn(1, 6, 96)
    assert torch.equal(network.blocks[0](tokens, condition), tokens)


def test_swapping_two_future_frame_indices_changes_the_output():
    network = tiny()
    x_t, t, past = inputs()
    plain = network(x_t, t, past)
    swapped = network(x_t, t, past, index=torch.tensor([1, 0, 2]).expand(2, -1))
    assert torch.equal(plain, network(x_t, t, past, index=torch.arange(3).expand(2, -1)))
    assert all((plain[:, frame] - swapped[:, frame]).abs().max() > 1e-3 for frame in range(3))


def test_frames_and_indices_permuted_together_permute_the_output():
    network = tiny()
    x_t, t, past = inputs()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(network(x_t, t, past)[:, order], network(x_t[:, order], t, past, order.expand(2, -1)))


def test_every_future_frame_sees_every_other_one():
    network = tiny()
    x_t, t, past = inputs()
    changed = x_t.clone()
    changed[:, 2] += 1
    difference = (network(changed, t, past) - network(x_t, t, past)).abs().amax(dim=(2, 3, 4))
    assert (difference > 1e-4).all()


def test_past_frames_their_order_and_the_timestep_matter():
    network = tiny()
    x_t, t, past = inputs()
    plain = network(x_t, t, past)
    for other in (network(x_t, t, past.flip(1)), network(x_t, t + 50, past), network(x_t, t, past + 0.1)):
        assert (plain - other).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-4


def test_samples_do_not_see_each_other():
    network = tiny()
    x_t, t, past = inputs()
    torch.testing.assert_close(network(x_t, t, past)[1:], network(x_t[1:], t[1:], past[1:]))


def test_patches_go_back_to_their_places():
    network = tiny(is_random=False)
    with torch.no_grad():
        network.head.project.bias.copy_(torch.arange(16.0))
    frame = network(*inputs())[0, 0, 0]
    assert torch.equal(frame, torch.arange(16.0).view(4, 4).repeat(2, 3))


def test_positions_tell_rows_from_columns():
    table = encode_positions(2, 3, 8).numpy()
    for row in range(2):
        for column in range(3):
            expected = []
            for value in (row, column):
                angles = [value / 10_000 ** (number / 2) for number in range(2)]
                expected += [*np.cos(angles), *np.sin(angles)]
            np.testing.assert_allclose(table[3 * row + column], expected, atol=1e-6)


def test_the_past_map_is_the_mean_over_time_at_patch_resolution():
    encoder = PastFrames(PastEncoder(channels=8, num_groups=4, num_layers=1, patch_size=2), channels=3)
    past = torch.randn(2, 4, 3, 8, 12)
    assert encoder(past).shape == (2, 8, 4, 6)


def test_the_baseline_predicts_all_frames_from_all_past_ones():
    with seeded_initialisation(0, "baseline"):
        network = SimVP(ConvolutionalBaseline(), channels=1, num_past=4, num_future=3)
    assert count(network) == _count_baseline(channels=1, num_past=4, num_future=3)
    past = torch.randn(2, 4, 1, 16, 24, requires_grad=True)
    future = network(past)
    assert future.shape == (2, 3, 1, 16, 24)
    for frame in range(3):
        (gradient,) = torch.autograd.grad(future[:, frame].sum(), past, retain_graph=True)
        assert (gradient.abs().amax(dim=(2, 3, 4)) > 0).all()


def _count_baseline(channels: int, num_past: int, num_future: int) -> int:
    convolution = lambda inner, outer: 9 * inner * outer + outer + 2 * outer  # noqa: E731
    pointwise = lambda inner, outer: inner * outer + outer  # noqa: E731
    total = convolution(channels, 32) + 2 * convolution(32, 32) + 2 * convolution(32, 128)
    total += pointwise(num_past * 32, 256) + pointwise(256, num_future * 32)
    total += 4 * (49 * 256 + 256 + 2 * 256 + pointwise(256, 512) + pointwise(512, 256))
    return total + convolution(64, 32) + pointwise(32, channels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch_size": 2, "past": {"patch_size": 4}}, "must divide `patch_size`"),
        ({"past": {"channels": 20, "num_groups": 8}}, "must divide `channels`"),
        ({"patch_size": 3}, "Input should be 2, 4 or 8"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        DiT.model_validate(settings)
