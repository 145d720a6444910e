"""Enlarging whole images: tiles, the eight states, back-projection, rounding."""

import numpy as np
import pytest
import torch

from tests.trainables.workloads.super_resolution.conftest import CPU, Nearest
from trainables.workloads.super_resolution.config import Inference
from trainables.workloads.super_resolution.inference.upscaler import (
    Upscaler,
    back_project,
    cut_axis,
    ensemble,
    resize,
    upscale_tiled,
)
from trainables.workloads.super_resolution.network_config import Edsr
from trainables.workloads.super_resolution.networks.factory import build_network
from trainables.workloads.super_resolution.protocols.protocol import enlarge_bicubic
from trainables.workloads.super_resolution.unit_range import to_levels, to_zero_one


def image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(50, 16, 4), (16, 16, 4), (5, 16, 4), (17, 16, 0), (64, 16, 15)]
)
def test_spans_keep_every_place_once_and_stand_back_from_seams(length, tile, overlap):
    spans = cut_axis(length, tile, overlap)
    kept = [place for span in spans for place in range(span.keep_start, span.keep_stop)]
    assert kept == list(range(length))
    for span in spans:
        assert span.stop - span.start == min(tile, length) and span.start >= 0 and span.stop <= length
        assert span.start == span.keep_start == 0 or span.keep_start - span.start >= overlap // 2
        assert span.stop == span.keep_stop == length or span.stop - span.keep_stop >= overlap // 2


@pytest.mark.parametrize("scale", [2, 3])
def test_tiles_equal_the_full_image_with_enough_overlap(scale):
    """One block: 3x3 convolutions see 1 (head) + 2 (block) + 1 (body) + 1 (upsampler) + 1/scale (tail) pixels far."""
    torch.manual_seed(0)
    network = build_network(Edsr(num_blocks=1, num_channels=4), [scale]).eval()
    lr = image(37, 29)
    with torch.no_grad():
        whole = network(lr, scale)
        tiled = upscale_tiled(lambda x: network(x, scale), lr, scale=scale, tile=16, overlap=12)
        narrow = upscale_tiled(lambda x: network(x, scale), lr, scale=scale, tile=16, overlap=0)
    assert torch.allclose(tiled, whole, atol=1e-6)
    away = (narrow - whole).abs().amax(dim=(0, 1))
    assert away.max() > 1e-3 and away[: 10 * scale, : 10 * scale].max() < 1e-6


def test_no_tile_is_larger_than_asked_for_whatever_the_image():
    for side in (20, 80):
        network = Nearest()
        Upscaler(Inference(tile_size=16, overlap=4), CPU)(network, torch.zeros(3, side, side, dtype=torch.uint8), 2)
        assert {size[-2:] for size in network.sizes} == {(16, 16)}


def test_the_ensemble_is_the_mean_of_eight_states_turned_back():
    lr, states = image(4, 6), []

    def crooked(x: torch.Tensor) -> torch.Tensor:
        states.append(x)
        ramp = torch.arange(x.shape[-1] * 2).float()
        return x.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) + ramp

    result = ensemble(crooked, lr)
    expected = []
    for k in range(4):
        for flips in ((), (-1,)):
            turned = torch.rot90(lr.flip(flips), k, dims=(-2, -1))
            ramp = torch.arange(turned.shape[-1] * 2).float()
            enlarged = turned.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2) + ramp
            expected.append(torch.rot90(enlarged, -k, dims=(-2, -1)).flip(flips))
    assert torch.allclose(result, torch.stack(expected).mean(dim=0), atol=1e-5)
    assert len({tuple(state.flatten().tolist()) for state in states}) == 8


def test_the_ensemble_of_a_symmetric_network_changes_nothing():
    lr = image(5, 7)
    assert torch.allclose(ensemble(Nearest(), lr), Nearest()(lr), atol=1e-6)


def test_resizing_equals_the_bicubic_of_the_data_up_to_rounding():
    lr = (100 + image(9, 12) * 55).to(torch.uint8)  # far from black and white, where rounding also clips
    float_result = to_levels(resize(to_zero_one(lr), 36, 48), torch.uint8)[0]
    difference = (float_result.int() - enlarge_bicubic(lr[0], 4).int()).abs()
    assert difference.max() <= 2 and difference.float().mean() < 0.4


def test_back_projection_brings_the_result_nearer_to_its_input():
    torch.manual_seed(0)
    lr = image(8, 8)
    lr = 0.4 + 0.2 * lr
    start = (resize(lr, 32, 32) + 0.05 * torch.randn(1, 3, 32, 32)).clamp(0, 1)
    errors = [float((resize(back_project(start, lr, n), 8, 8) - lr).abs().mean()) for n in (0, 1, 10)]
    assert errors[2] < errors[1] / 2 < errors[0] / 4
    assert torch.equal(back_project(start, lr, 0), start)
    one = (start + resize(lr - resize(start, 8, 8), 32, 32)).clamp(0, 1)
    assert torch.allclose(back_project(start, lr, 1), one)


def test_results_are_clamped_and_rounded_not_cut_off():
    values = torch.tensor([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.3])
    assert to_levels(values, torch.uint8).tolist() == [0, 0, 0, 1, 255, 255]
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_levels(to_zero_one(levels), torch.uint8), levels)


@pytest.mark.parametrize("settings", [{}, {"tile_size": 8, "overlap": 2}, {"has_self_ensemble": True}])
def test_a_nearest_network_repeats_pixels_under_all_settings(settings):
    lr = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 11, 13), dtype=np.uint8))
    result = Upscaler(Inference.model_validate(settings), CPU)(Nearest(), lr, 2)
    assert result.dtype == torch.uint8
    assert torch.equal(result, lr.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2))


def test_back_projection_is_part_of_the_upscaler():
    lr = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 11, 13), dtype=np.uint8))
    plain, projected = (Upscaler(Inference(back_projections=n), CPU)(Nearest(), lr, 2) for n in (0, 5))
    assert not torch.equal(plain, projected)


def test_an_output_that_is_not_finite_stops_the_evaluation():
    def broken(image: torch.Tensor, scale: int) -> torch.Tensor:
        return torch.full((1, 3, 8, 8), float("nan"))

    with pytest.raises(FloatingPointError, match="not finite"):
        Upscaler(Inference(), CPU)(broken, torch.zeros(3, 4, 4, dtype=torch.uint8), 2)  # pyright: ignore
