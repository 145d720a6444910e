"""LPIPS and DISTS against their formulas, layer by layer in numpy's loops, with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.image_fixtures import noise
from tests.trainables.metrics.images.backbone_files import save_backbone, save_dists, save_linear
from trainables.metrics.images.perceptual import Dists, Lpips, find_backbone, load_stages

ALEXNET = [(0, 4, 2), None, (3, 1, 2), None, (6, 1, 1), (8, 1, 1), (10, 1, 1)]
"""Convolutions as number, stride and padding; None is a pooling of 3x3 with stride 2."""
VGG16 = [0, 2, None, 5, 7, None, 10, 12, 14, None, 17, 19, 21, None, 24, 26, 28]
"""Numbers of 3x3 convolutions; None is a pooling of 2x2."""
COMPARED = {"alexnet": (0, 3, 6, 8, 10), "vgg16": (2, 7, 14, 21, 28)}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def states(files) -> dict[str, dict[str, Tensor]]:
    return {name: save_backbone(files / f"{name}.pth", name) for name in ("alexnet", "vgg16")}


def pair(height: int = 40, width: int = 47) -> tuple[Tensor, Tensor]:
    truth = noise(3, height, width, seed=1).astype(int)
    errors = np.random.default_rng(2).integers(-60, 61, truth.shape)
    image = np.clip(truth + errors, 0, 255)
    return torch.from_numpy(image.astype(np.uint8)), torch.from_numpy(truth.astype(np.uint8))


def pool_by_norm(features: Tensor) -> Tensor:
    """The root of the sum of squares under the window 1-2-1 over 16, at every second place, zeros outside."""
    squares = np.pad(features[0].double().numpy() ** 2, ((0, 0), (1, 1), (1, 1)))
    window = np.outer([1, 2, 1], [1, 2, 1]) / 16
    rows, columns = (-(-side // 2) for side in features.shape[-2:])
    result = np.zeros((features.shape[1], rows, columns))
    for row in range(rows):
        for column in range(columns):
            part = squares[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            result[:, row, column] = np.sqrt((part * window).sum(axis=(1, 2)) + 1e-12)
    return torch.from_numpy(result[None]).float()


def naive_features(
    name: str, state: dict[str, Tensor], image: Tensor, *, pools_by_norm: bool = False
) -> list[np.ndarray]:
    """The values behind the five ReLUs, [channels, height, width]."""
    found, x = [], image[None]
    for layer in ALEXNET if name == "alexnet" else [number if number is None else (number, 1, 1) for number in VGG16]:
        if layer is None:
            size = 3 if name == "alexnet" else 2
            x = pool_by_norm(x) if pools_by_norm else functional.max_pool2d(x, size, stride=2)
            continue
        number, stride, padding = layer
        weight, bias = (state[f"features.{number}.{part}"] for part in ("weight", "bias"))
        x = functional.conv2d(x, weight, bias, stride=stride, padding=padding).clamp(min=0)
        if number in COMPARED[name]:
            found.append(x[0].double().numpy())
    return found


@pytest.mark.parametrize("name", ["alexnet", "vgg16"])
def test_lpips_equals_loops_over_places_and_channels(files, states, name):
    linear = save_linear(files / f"{name}_linear.pth", name)
    image, truth = pair()
    features = []
    for each in (image, truth):
        colours = [
            (each[channel].float() / 127.5 - 1 - shift) / scale
            for channel, (shift, scale) in enumerate([(-0.030, 0.458), (-0.088, 0.448), (-0.188, 0.450)])
        ]
        features.append(naive_features(name, states[name], torch.stack(colours)))
    expected = 0.0
    for weight, x, y in zip(linear, *features, strict=True):
        places = [
            sum(
                float(weight[0, channel, 0, 0]) * (a / np.linalg.norm(x[:, row, column]) - b) ** 2
                for channel, (a, b) in enumerate(
                    zip(x[:, row, column], y[:, row, column] / np.linalg.norm(y[:, row, column]), strict=True)
                )
            )
            for row in range(x.shape[1])
            for column in range(x.shape[2])
        ]
        expected += sum(places) / len(places)
    metric = Lpips(files / f"{name}_linear.pth", files / f"{name}.pth")
    assert metric.name == name
    assert float(metric(image, truth)) == pytest.approx(expected, rel=1e-4) and expected > 0.01
    assert float(metric(truth, truth)) == 0.0


def test_dists_equals_loops_over_channels(files, states):
    weights = save_dists(files / "dists.pt")
    image, truth = pair()
    features = []
    for each in (image, truth):
        plain = each.float() / 255
        colours = [
            (plain[channel] - mean) / deviation
            for channel, (mean, deviation) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)])
        ]
        deep = naive_features("vgg16", states["vgg16"], torch.stack(colours), pools_by_norm=True)
        features.append([channel for stage in (plain.double().numpy(), *deep) for channel in stage])
    alpha, beta = (weights[name].flatten().tolist() for name in ("alpha", "beta"))
    similarity = 0.0
    for a, b, x, y in zip(alpha, beta, *features, strict=True):
        covariance = np.mean((x - x.mean()) * (y - y.mean()))
        similarity += a * (2 * x.mean() * y.mean() + 1e-6) / (x.mean() ** 2 + y.mean() ** 2 + 1e-6)
        similarity += b * (2 * covariance + 1e-6) / (x.var() + y.var() + 1e-6)
    expected = 1 - similarity / (sum(alpha) + sum(beta))
    metric = Dists(files / "dists.pt", files / "vgg16.pth")
    assert float(metric(image, truth)) == pytest.approx(expected, abs=1e-6) and expected > 0.01
    assert float(metric(truth, truth)) == pytest.approx(0.0, abs=1e-12)


def test_the_linear_layers_name_their_network(files):
    for name in ("alexnet", "vgg16"):
        save_linear(files / "linear.pth", name)
        assert find_backbone(files / "linear.pth") == name


@pytest.mark.usefixtures("states")
def test_weights_of_another_kind_are_refused_by_name(files):
    with pytest.raises(
        ValueError, match=r"alexnet\.pth: is no state dict of VGG-16 of torchvision, vgg16-397923af\.pth"
    ):
        load_stages("vgg16", files / "alexnet.pth")
    save_dists(files / "dists.pt")
    with pytest.raises(ValueError, match=r"dists\.pt: holds no linear layers of LPIPS.*give alex\.pth or vgg\.pth"):
        find_backbone(files / "dists.pt")
    save_linear(files / "linear.pth", "vgg16")
    with pytest.raises(ValueError, match=r"linear\.pth: is no weights\.pt of DISTS.*alpha is missing"):
        Dists(files / "linear.pth", files / "vgg16.pth")


@pytest.mark.usefixtures("states")
@pytest.mark.parametrize(("name", "smallest"), [("alexnet", 31), ("vgg16", 16)])
def test_lpips_refuses_images_that_are_too_small(files, name, smallest):
    save_linear(files / "linear.pth", name)
    metric = Lpips(files / "linear.pth", files / f"{name}.pth")
    image, truth = pair(smallest, smallest)
    assert float(metric(image, truth)) > 0
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest} pixels, these are {smallest}x{smallest - 1}"):
        metric(image[:, 1:], truth[:, 1:])
