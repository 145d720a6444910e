"""Random crops against a loop, and how often each place is taken."""

import torch
from torch import Tensor

from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.images.augmentation import crop_padded, flip_half
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline

IMAGES = torch.randint(1, 256, (40, 3, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def places_of(seed: int, count: int, padding: int) -> Tensor:
    return torch_draws(count, seed).integers(2 * padding + 1, 2).T


def test_a_crop_is_a_window_of_the_image_padded_by_zeros():
    cropped = crop_padded(IMAGES, 2, draws=torch_draws(len(IMAGES), 1))
    places = places_of(1, len(IMAGES), 2)
    for index, image in enumerate(IMAGES):
        top, left = places[0, index], places[1, index]
        for row in range(6):
            for column in range(5):
                source = (int(top) + row - 2, int(left) + column - 2)
                is_inside = 0 <= source[0] < 6 and 0 <= source[1] < 5
                expected = image[:, source[0], source[1]] if is_inside else torch.zeros(3, dtype=torch.uint8)
                assert torch.equal(cropped[index, :, row, column], expected)
    assert cropped.dtype == torch.uint8 and cropped.is_contiguous()


def test_all_places_are_taken_about_equally_often():
    image = torch.zeros(9000, 1, 3, 3, dtype=torch.uint8)
    image[:, :, 1, 1] = 1
    cropped = crop_padded(image, 1, draws=torch_draws(len(image), 2))
    shares = cropped.float().mean(dim=(0, 1))
    assert torch.allclose(shares, torch.full((3, 3), 1 / 9), atol=0.015)


def test_flipping_is_apart_from_cropping():
    flipped = flip_half(IMAGES, draws=torch_draws(len(IMAGES), 3))
    is_same = (flipped == IMAGES).flatten(1).all(1)
    is_mirrored = (flipped == IMAGES.flip(-1)).flatten(1).all(1)
    assert bool((is_same ^ is_mirrored).all()) and 10 < int(is_same.sum()) < 30


def test_the_pipeline_crops_by_its_settings_and_keeps_labels():
    pipeline = ImagePipeline(ImageData(crop_padding=1))
    batch = pipeline.collate(pipeline.make_fake_rows(30, seed=0))
    before = batch["image"].clone()
    changed = pipeline.augment(batch, draws=torch_draws(30, 4))
    expected = crop_padded(before, 1, draws=torch_draws(30, 4))
    assert torch.equal(changed["image"], expected) and not torch.equal(changed["image"], before)
    assert torch.equal(batch["image"], before) and torch.equal(changed["label"], batch["label"])
