"""Packed images of different sizes, and the patches that are cut from them, against loops over pixels."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import torch

from data_pipelines.contract.row_draws import numpy_draws
from data_pipelines.super_resolution.batch import PatchBatch, cut_patches, pairs_of, unpack
from data_pipelines.super_resolution.config import SuperResolutionData
from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from tests.image_fixtures import noise


def save(sizes: list[tuple[int, int]], scale: int) -> tuple[pa.Table, list[np.ndarray], list[np.ndarray]]:
    """Images whose low resolution is their upper left pixel of each block, so that alignment can be seen."""
    highs = [noise(height, width, 3, seed=number) for number, (height, width) in enumerate(sizes)]
    lows = [high[: len(high) // scale * scale : scale, : high.shape[1] // scale * scale : scale] for high in highs]
    columns = {
        "name": [str(number) for number in range(len(sizes))],
        "height": [height for height, _ in sizes],
        "width": [width for _, width in sizes],
        "hr": [high.tobytes() for high in highs],
        f"lr_x{scale}": [low.tobytes() for low in lows],
    }
    schema = SuperResolutionPipeline(SuperResolutionData(scales=(scale,))).schema  # type: ignore[arg-type]
    return pa.table(columns, schema=schema), highs, lows


def cut(table: pa.Table, scale: int, side: int, seed: int = 0, *, is_augmented: bool = False) -> PatchBatch:
    pairs = pairs_of(table, scale)
    return cut_patches(pairs, scale, side, is_augmented=is_augmented, draws=numpy_draws(len(pairs), seed))


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
def test_lr_and_hr_patches_are_aligned_and_in_the_same_state(scale):
    table, highs, lows = save([(19, 25), (24, 17), (40, 40)], scale)
    for seed in range(6):
        patches = cut(table, scale, 4, seed, is_augmented=True)
        for index in range(3):
            lr, hr = (patches[name][index].permute(1, 2, 0).numpy() for name in ("lr", "hr"))
            state, top, left = find(lr, lows[index])
            assert find(hr, highs[index]) == (state, top * scale, left * scale)


def test_all_eight_states_and_all_places_are_equally_likely():
    table, _, lows = save([(6, 6)] * 4000, 2)
    patches = cut(table, 2, 2, is_augmented=True)
    found = Counter(find(patches["lr"][i].permute(1, 2, 0).numpy(), lows[i]) for i in range(4000))
    assert len(found) == 8 * 4 and min(found.values()) > 80 and max(found.values()) < 180


def test_without_augmentation_patches_are_cut_and_not_turned():
    table, _, lows = save([(12, 14)] * 20, 2)
    patches = cut(table, 2, 3)
    assert {find(patches["lr"][i].permute(1, 2, 0).numpy(), lows[i])[0] for i in range(20)} == {0}


def test_patches_are_copies_and_follow_the_draws_alone():
    table, _, _ = save([(20, 20)] * 8, 2)
    first, second, other = (cut(table, 2, 4, seed, is_augmented=True)["hr"] for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)
    second.zero_()
    assert torch.equal(cut(table, 2, 4, 1, is_augmented=True)["hr"], first)


@pytest.mark.parametrize("size", [(5, 9), (3, 2), (9, 4)])
def test_small_images_go_on_as_their_mirror_image_aligned(size):
    """The part at the lower and right edge that fills no low-resolution pixel is not used."""
    scale, side = 2, 6
    table, [high], [low] = save([size], scale)
    used = high[: len(low) * scale, : low.shape[1] * scale]
    patches = cut(table, scale, side)
    for name, image, length in (("lr", low, side), ("hr", used, side * scale)):
        padding = [(0, max(length - extent, 0)) for extent in image.shape[:2]]
        expected = np.pad(image, [*padding, (0, 0)], mode="symmetric")
        assert torch.equal(
            patches[name][0].permute(1, 2, 0)[: expected.shape[0], : expected.shape[1]][:length, :length],
            torch.from_numpy(expected[:length, :length]),
        ), name


def test_unpacked_images_are_the_packed_ones_cut_to_a_multiple():
    table, highs, lows = save([(9, 10), (4, 7), (12, 8)], 4)
    batch = SuperResolutionPipeline(SuperResolutionData()).collate(table)
    for pair, high, low in zip(unpack(batch, 4), highs, lows, strict=True):
        assert np.array_equal(pair.lr.permute(1, 2, 0).numpy(), low)
        assert np.array_equal(pair.hr.permute(1, 2, 0).numpy(), high[: len(low) * 4, : low.shape[1] * 4])
