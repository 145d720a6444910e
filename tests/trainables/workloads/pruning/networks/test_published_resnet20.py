"""The published ResNet-20 on real CIFAR-10 rows, when both are at hand."""

import os
from pathlib import Path

import pytest
import torch

from data_pipelines.images.cifar10 import find_cifar10
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network
from trainables.workloads.pruning.networks.normalisation import IMAGENET
from trainables.workloads.pruning.pretrained import load_pretrained

NEEDED = ("QUINTET_CIFAR10", "QUINTET_RESNET20")


@pytest.mark.skipif(not all(name in os.environ for name in NEEDED), reason=f"{' or '.join(NEEDED)} names no file")
def test_the_published_weights_give_about_the_published_accuracy():
    """91.7 % of all test rows; the tolerance is three standard errors of the rows given."""
    network = build_network(Blueprint("res20s", 3, 32, 32, 10))
    assert len(load_pretrained(network, Path(os.environ["QUINTET_RESNET20"]))) == 97
    network.get_submodule("normalize").set(*IMAGENET)  # pyright: ignore
    right, total = 0, 0
    with torch.no_grad():
        for part in find_cifar10(Path(os.environ["QUINTET_CIFAR10"])).read("test", 0):
            logits = network.eval()(torch.from_numpy(part.images.copy()))
            right += int((logits.argmax(dim=1).numpy() == part.labels).sum())
            total += len(part.labels)
    assert right / total == pytest.approx(0.917, abs=3 * (0.917 * 0.083 / total) ** 0.5)
