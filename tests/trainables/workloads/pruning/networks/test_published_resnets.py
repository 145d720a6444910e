"""The published ResNets on real CIFAR-10 rows, when they are at hand."""

import os
from pathlib import Path

import pytest
import torch

from data_pipelines.images.cifar10 import find_cifar10
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network
from trainables.workloads.pruning.networks.normalisation import IMAGENET
from trainables.workloads.pruning.pretrained import find_normalisation, load_pretrained

PUBLISHED = {"res20s": (91.73, 97), "res32s": (92.63, 157), "res44s": (93.10, 217), "res56s": (93.39, 277)}
"""Accuracy on all test rows in percent (akamaster/pytorch_resnet_cifar10), and the tensors of the file that we take."""


@pytest.mark.slow
@pytest.mark.parametrize("arch", PUBLISHED)
def test_published_weights_give_the_published_accuracy(arch):
    """Within three standard errors of the rows given."""
    accuracy, num_tensors = PUBLISHED[arch]
    names = ("QUINTET_CIFAR10", f"QUINTET_RESNET{arch[3:5]}")
    if not all(name in os.environ for name in names):
        pytest.skip(f"{' or '.join(names)} names no file")
    rows, weights = (Path(os.environ[name]) for name in names)
    network = build_network(Blueprint(arch, 3, 32, 32, 10))
    assert len(load_pretrained(network, weights)) == num_tensors
    normalisation = find_normalisation(weights)
    assert normalisation == IMAGENET
    network.get_submodule("normalize").set(*normalisation)  # pyright: ignore
    right, total = 0, 0
    with torch.no_grad():
        for part in find_cifar10(rows).read("test", 0):
            logits = network.eval()(torch.from_numpy(part.images.copy()))
            right += int((logits.argmax(dim=1).numpy() == part.labels).sum())
            total += len(part.labels)
    assert 100 * right / total == pytest.approx(accuracy, abs=3 * (accuracy * (100 - accuracy) / total) ** 0.5)
