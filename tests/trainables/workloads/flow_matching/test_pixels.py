import pytest
import torch

from trainables.workloads.flow_matching.pixels import to_minus_one_one, to_uint8


def test_every_pixel_value_survives_the_round_trip():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_minus_one_one(pixels)), pixels)


def test_bytes_map_to_minus_one_one_and_floats_are_unchanged():
    assert to_minus_one_one(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
    image = torch.tensor([0.3, -0.7])
    assert torch.equal(to_minus_one_one(image), image)


def test_values_are_clamped_and_rounded_to_the_nearest():
    images = torch.tensor([-3.0, 7.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1])
    assert to_uint8(images).tolist() == [0, 255, 0, 1]


def test_uint8_images_are_left_alone():
    pixels = torch.tensor([3, 200], dtype=torch.uint8)
    assert torch.equal(to_uint8(pixels), pixels)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused(bad: float):
    with pytest.raises(FloatingPointError, match="1 of 2 pixel values are not finite"):
        to_uint8(torch.tensor([0.0, bad]))
