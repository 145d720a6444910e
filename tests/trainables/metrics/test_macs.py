"""Counted multiply-accumulates against sums over every output value."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainables.metrics.macs import count_macs


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(5, 7), (3, 5), 3 * 7 * 5),
        (nn.Conv2d(4, 6, 3, padding=1), (1, 4, 8, 8), 6 * 8 * 8 * 4 * 9),
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 8, 8), 2 * 6 * 4 * 4 * 2 * 9),
        (nn.Conv1d(2, 3, 5), (1, 2, 10), 3 * 6 * 2 * 5),
        # every input value meets every kernel value of every output channel
        (nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1), (1, 4, 8, 8), 4 * 8 * 8 * 6 * 16),
        (nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LayerNorm(4)), (2, 4), 2 * 4 * 4),
    ],
)
def test_layers_cost_one_mac_per_weight_use(module, shape, expected):
    assert count_macs(module, torch.zeros(shape)) == expected


class Attention(nn.Module):
    def forward(self, x):
        return functional.scaled_dot_product_attention(x, x, x)


class Products(nn.Module):
    def forward(self, x):
        return (x @ x.transpose(-1, -2)).softmax(-1) @ x


def test_fused_attention_costs_what_its_two_products_cost():
    x = torch.zeros(2, 3, 10, 8)
    assert count_macs(Attention(), x) == count_macs(Products(), x) == 2 * 3 * 10 * 10 * 8 * 2
