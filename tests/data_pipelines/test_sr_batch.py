"""Packed images of different sizes, and the patches that are cut from them, against loops over pixels."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from data_pipelines.sr_batch import cut_patches, unpack
from tests.image_fixtures import noise


def pack(sizes: list[tuple[int, int]], scale: int) -> tuple[dict[str, Tensor], list[np.ndarray], list[np.ndarray]]:
    """Images whose low resolution is their upper left pixel of each block, so that alignment can be seen."""
    highs = [noise(height, width, 3, seed=number) for number, (height, width) in enumerate(sizes)]
    lows = [high[: len(high) // scale * scale : scale, : high.shape[1] // scale * scale : scale] for high in highs]
    batch = {
        "size": torch.tensor(sizes),
        "hr": torch.from_numpy(np.concatenate([high.ravel() for high in highs])),
        f"lr_x{scale}": torch.from_numpy(np.concatenate([low.ravel() for low in lows])),
    }
    return batch, highs, lows


def states_of(patch: np.ndarray) -> list[np.ndarray]:
    """All eight dihedral states of [side, side, 3]."""
    turned = [np.rot90(patch, k) for k in range(4)]
    return [*turned, *(state[:, ::-1] for state in turned)]


def find(patch: np.ndarray, image: np.ndarray) -> tuple[int, int, int]:
    """Where in the image, and in which state, the patch lies."""
    side = len(patch)
    for number, state in enumerate(states_of(patch)):
        for top in range(len(image) - side + 1):
            for left in range(image.shape[1] - side + 1):
                if np.array_equal(image[top : top + side, left : left + side], state):
                    return number, top, left
    raise AssertionError("the patch is not in the image")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_patches_lie_in_their_images_aligned_and_in_the_same_state(scale):
    batch, highs, lows = pack([(19, 25), (24, 17), (40, 40)], scale)
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        patches = cut_patches(batch, scale, 4, is_augmented=True, generator=generator)
        for index in range(3):
            lr, hr = (patches[name][index].permute(1, 2, 0).numpy() for name in ("lr", "hr"))
            state, top, left = find(lr, lows[index])
            assert find(hr, highs[index]) == (state, top * scale, left * scale)


def test_all_eight_states_and_all_places_are_equally_likely():
    batch, _, lows = pack([(6, 6)] * 4000, 2)
    patches = cut_patches(batch, 2, 2, is_augmented=True, generator=torch.Generator().manual_seed(0))
    found = Counter(find(patches["lr"][i].permute(1, 2, 0).numpy(), lows[i]) for i in range(4000))
    assert len(found) == 8 * 4 and min(found.values()) > 80 and max(found.values()) < 180


def test_without_augmentation_patches_are_cut_and_not_turned():
    batch, _, lows = pack([(12, 14)] * 20, 2)
    patches = cut_patches(batch, 2, 3, is_augmented=False, generator=torch.Generator().manual_seed(0))
    assert {find(patches["lr"][i].permute(1, 2, 0).numpy(), lows[i])[0] for i in range(20)} == {0}


def test_patches_follow_the_generator_alone():
    batch, _, _ = pack([(20, 20)] * 8, 2)
    first, second, other = (
        cut_patches(batch, 2, 4, is_augmented=True, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first["hr"], second["hr"]) and not torch.equal(first["hr"], other["hr"])


@pytest.mark.parametrize("size", [(5, 9), (3, 2), (9, 4)])
def test_small_images_go_on_as_their_mirror_image_aligned(size):
    """The part at the lower and right edge that fills no low-resolution pixel is not used."""
    scale, side = 2, 6
    batch, [high], [low] = pack([size], scale)
    used = high[: len(low) * scale, : low.shape[1] * scale]
    patches = cut_patches(batch, scale, side, is_augmented=False, generator=torch.Generator().manual_seed(0))
    for name, image, length in (("lr", low, side), ("hr", used, side * scale)):
        padding = [(0, max(length - extent, 0)) for extent in image.shape[:2]]
        expected = np.pad(image, [*padding, (0, 0)], mode="symmetric")
        assert torch.equal(
            patches[name][0].permute(1, 2, 0)[: expected.shape[0], : expected.shape[1]][:length, :length],
            torch.from_numpy(expected[:length, :length]),
        ), name


def test_unpacked_images_are_the_packed_ones_cut_to_a_multiple():
    batch, highs, lows = pack([(9, 10), (4, 7), (12, 8)], 4)
    for pair, high, low in zip(unpack(batch, 4), highs, lows, strict=True):
        assert np.array_equal(pair.lr.permute(1, 2, 0).numpy(), low)
        assert np.array_equal(pair.hr.permute(1, 2, 0).numpy(), high[: len(low) * 4, : low.shape[1] * 4])
