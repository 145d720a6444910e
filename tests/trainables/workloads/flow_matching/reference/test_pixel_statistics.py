import numpy as np
import torch

from tests.trainables.workloads.flow_matching.conftest import CPU, Ranks, run_ranks, tiny_rows
from trainables.workloads.flow_matching.reference.pixel_statistics import PixelMoments, PixelSums


def test_statistics_over_ranks_equal_numpy_over_all_rows():
    images, labels = tiny_rows()

    def body(collectives: Ranks) -> PixelMoments:
        sums = PixelSums((1, 4, 4), 4, CPU)
        for chosen in torch.arange(collectives.rank, 48, 2).split(5):
            sums.add(images[chosen], labels[chosen])
        return sums.over_ranks(collectives)

    for pixels in run_ranks(2, body):
        assert np.allclose(pixels.mean, images.numpy().mean(axis=0), atol=1e-4)
        assert np.allclose(pixels.std, images.numpy().astype(float).std(axis=0), atol=1e-4)
        assert pixels.class_counts.tolist() == [24, 12, 12, 0]


def test_trivial_images_have_each_pixels_mean_and_spread():
    mean, std = torch.tensor([[[100.0, 150.0]]]), torch.tensor([[[10.0, 0.0]]])
    pixels = PixelMoments(mean, std, torch.tensor([1]))
    images = pixels.sample(torch.randn(4000, *mean.shape, generator=torch.Generator().manual_seed(0)))
    assert images.dtype == torch.uint8 and images.shape == (4000, 1, 1, 2)
    assert abs(images[..., 0].float().mean() - 100) < 0.7
    assert abs(images[..., 0].float().std() - 10) < 0.5
    assert (images[..., 1] == 150).all()


def test_trivial_images_are_clamped_to_the_range_of_pixels():
    wide = PixelMoments(torch.full((1, 1, 1), 128.0), torch.full((1, 1, 1), 1e6), torch.tensor([1]))
    values = wide.sample(torch.randn(100, 1, 1, 1, generator=torch.Generator().manual_seed(0))).unique().tolist()
    assert values == [0, 255]
