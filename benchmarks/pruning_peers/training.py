"""The same short training for every pruned network."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.images.augmentation import crop_padded, flip_half

BATCH_SIZE, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 128, 0.01, 0.9, 1e-4


def train(network: nn.Module, images: Tensor, labels: Tensor, *, epochs: int, seed: int) -> nn.Module:
    """Train in place by SGD with a cosine to zero, on crops and flips; the seed decides on order and crops alone."""
    optimiser = torch.optim.SGD(network.parameters(), LEARNING_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY)
    num_steps = epochs * (len(images) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, num_steps)
    generator = torch.Generator().manual_seed(seed)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        for step, rows in enumerate(order[: len(order) // BATCH_SIZE * BATCH_SIZE].split(BATCH_SIZE)):
            draws = torch_draws(len(rows), seed=seed * 10**6 + epoch * 10**3 + step)
            batch = crop_padded(flip_half(images[rows], draws=draws), 4, draws=draws)
            optimiser.zero_grad()
            functional.cross_entropy(network(batch), labels[rows]).backward()
            optimiser.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def measure_accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Percent of the images that are right, in eval mode."""
    answers = torch.cat([network(part).argmax(dim=1) for part in images.split(256)])
    return 100 * float((answers == labels).double().mean())
