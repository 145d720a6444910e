"""Feature network of the local Frechet distance, trained on the run's own training images.

Its distance is no published FID: it ranks models of one data set, and is recorded as `eval/fid_local`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from trainables.contract.seeding import seeded_generator, seeded_initialisation
from trainables.workloads.flow_matching.pixels import to_minus_one_one

MAX_SIDE = 32
"""Larger images are averaged down to this, which bounds the cost; finer detail does not count in the distance."""
RULES = 1
"""Version of the network and its training; increased when they change other than by the constants below."""
NUM_STEPS = 300
BATCH_SIZE = 128
LEARNING_RATE = 3e-3
SEED = 0
"""Independent of the run's seed, so that runs with other seeds are measured in the same features."""


class FeatureNetwork(nn.Module):
    """Classifier of about 100,000 parameters; the features are the averaged activations before its last layer."""

    feature_dim = 64

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(channels, 32, stride=1),
            *_convolution(32, 64, stride=2),
            *_convolution(64, 64, stride=1),
            *_convolution(64, 64, stride=2),
        )
        self.head = nn.Linear(self.feature_dim, num_classes)
        self.to(memory_format=torch.channels_last)  # saves a third of the time on a CPU

    def forward(
        self, images: UInt8[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch classes"]]:
        """Return features and logits of images of any size with values 0 to 255."""
        pixels = to_minus_one_one(shrink(images)).contiguous(memory_format=torch.channels_last)
        features = self.layers(pixels).mean(dim=(2, 3))
        return features, self.head(features)


@dataclass(frozen=True)
class TrainedFeatures:
    """A feature network in eval mode, on the CPU."""

    network: FeatureNetwork
    accuracy: float
    """Share of its training images classified right, for the record."""


def shrink(images: UInt8[Tensor, "batch channels height width"]) -> UInt8[Tensor, "batch channels small_h small_w"]:
    """Average images down so that no side exceeds `MAX_SIDE`; smaller images stay as they are."""
    height, width = images.shape[-2:]
    side = (min(height, MAX_SIDE), min(width, MAX_SIDE))
    if side == (height, width):
        return images
    return functional.interpolate(images.float(), size=side, mode="area").round().to(torch.uint8)


def describe_training() -> dict[str, float]:
    """Return the settings that determine a trained network, beside its images."""
    return {
        "rules": RULES,
        "max_side": MAX_SIDE,
        "steps": NUM_STEPS,
        "batch_size": BATCH_SIZE,
        "learning_rate": LEARNING_RATE,
        "seed": SEED,
    }


def train_feature_network(
    images: UInt8[Tensor, "samples channels height width"],
    labels: Int[Tensor, " samples"],
    *,
    num_classes: int,
) -> TrainedFeatures:
    """Train the classifier on `images` in a fixed number of steps; the result depends on the arguments alone.

    It is trained on the CPU, because other devices give other features, some of them different in every run. With one
    class the loss is constant, and the features stay close to random ones, which still distinguish distributions.
    """
    images, labels = images.cpu(), labels.cpu()
    with seeded_initialisation(SEED, "feature network"):
        network = FeatureNetwork(images.shape[1], num_classes).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=NUM_STEPS)
    generator = seeded_generator(SEED, "feature network batches")
    for _ in range(NUM_STEPS):
        chosen = torch.randint(len(images), (BATCH_SIZE,), generator=generator)
        with torch.enable_grad():
            loss = functional.cross_entropy(network(images[chosen])[1], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval().requires_grad_(False)
    return TrainedFeatures(network, _accuracy(network, images, labels))


def _convolution(in_channels: int, out_channels: int, *, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels), nn.SiLU()]


def _accuracy(network: FeatureNetwork, images: Tensor, labels: Tensor) -> float:
    num_right = 0
    for chunk, label in zip(images.split(1024), labels.split(1024), strict=True):
        num_right += int((network(chunk)[1].argmax(dim=1) == label).sum())
    return num_right / len(images)
