import numpy as np
import pytest
import torch

from tests.trainables.workloads.flow_matching.conftest import tiny_rows
from trainables.workloads.flow_matching.reference import features
from trainables.workloads.flow_matching.reference.features import FeatureNetwork, shrink, train_feature_network


@pytest.mark.parametrize(("channels", "size"), [(1, (4, 4)), (1, (8, 8)), (3, (32, 32)), (3, (48, 256))])
def test_any_image_gives_64_features_and_a_logit_for_each_class(channels: int, size: tuple[int, int]):
    network = FeatureNetwork(channels, 5).eval()
    values, logits = network(torch.zeros(2, channels, *size, dtype=torch.uint8))
    assert values.shape == (2, 64) and logits.shape == (2, 5)


def test_the_network_has_about_100_000_parameters():
    assert 80_000 < sum(p.numel() for p in FeatureNetwork(3, 10).parameters()) < 120_000


def test_large_images_are_block_averaged_and_small_ones_kept():
    image = torch.randint(0, 256, (1, 1, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    blocks = image.numpy().reshape(32, 2, 32, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(shrink(image)[0, 0].numpy() - blocks).max() <= 0.5
    assert torch.equal(shrink(image[..., :32, :32]), image[..., :32, :32])


def test_training_tells_the_classes_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(features, "NUM_STEPS", 60)
    trained = train_feature_network(*tiny_rows(80), num_classes=3)
    images, labels = tiny_rows(40, seed=9)
    predicted = trained.network(images)[1].argmax(dim=1)
    assert (predicted == labels).float().mean() > 0.9
    assert trained.accuracy > 0.9 and not trained.network.training


def test_training_repeats_and_keeps_the_global_random_state():
    weights = []
    for global_seed in (0, 7):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        weights.append(train_feature_network(*tiny_rows(), num_classes=3).network.head.weight)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*weights)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_images_on_an_accelerator_give_the_same_network():
    images, labels = tiny_rows()
    expected, found = (
        train_feature_network(images.to(device), labels.to(device), num_classes=3).network.head.weight
        for device in ("cpu", "cuda")
    )
    assert torch.equal(found, expected)


def test_training_works_where_gradients_are_switched_off():
    with torch.no_grad():
        off = train_feature_network(*tiny_rows(), num_classes=3)
    assert torch.equal(off.network.head.weight, train_feature_network(*tiny_rows(), num_classes=3).network.head.weight)
