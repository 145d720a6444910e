"""Gated attention over the cycles of a bag, against loops and against single cycles."""

import math

import pytest
import torch

from trainables.workloads.heart_sound.finetune.config import Head
from trainables.workloads.heart_sound.finetune.network import FinetuneNetwork, pool_bags
from trainables.workloads.heart_sound.networks.config import EncoderConfig

ENCODER = EncoderConfig(channels=(4, 6, 8, 10), sequence="none")
HEAD = Head(hidden=12)


def build(is_frozen: bool, has_attention: bool = True) -> FinetuneNetwork:
    torch.manual_seed(0)
    return FinetuneNetwork(ENCODER, HEAD, num_classes=3, is_frozen=is_frozen, has_attention=has_attention)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def linear(layer: torch.nn.Linear, values: torch.Tensor) -> list[float]:
    rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
    return [sum(w * x for w, x in zip(row, values.tolist(), strict=True)) + bias for row, bias in rows]


@pytest.mark.parametrize(("is_frozen", "width"), [(True, 10), (False, 12)])
def test_attention_adds_its_parameters_and_changes_no_other(is_frozen, width):
    without, network = build(is_frozen, has_attention=False), build(is_frozen)
    half = width // 2
    assert count(network) - count(without) == 2 * (width * half + half) + half + 1
    first, second = without.state_dict(), network.state_dict()
    assert all(torch.equal(second[name], each) for name, each in first.items())
    assert {name.partition(".")[0] for name in second.keys() - first.keys()} == {"attention"}
    signal = torch.randn(5, 200)
    with torch.no_grad():
        assert torch.equal(network.eval()(signal)[:, :3], without.eval()(signal))


@pytest.mark.parametrize("is_frozen", [True, False])
@torch.no_grad()
def test_the_logits_of_a_bag_are_those_of_its_weighted_embedding(is_frozen):
    """Equations 7 to 9 of Ilse et al. 2018 with loops: the mean of the embeddings, then the last layer."""
    network = build(is_frozen).eval()
    signal = torch.randn(2, 4, 200)
    found = pool_bags(network(signal.flatten(0, 1)).unflatten(0, (2, 4)), torch.ones(2, 4, dtype=torch.bool))
    attention, last = network.attention, network.classifier[-1]
    assert attention is not None
    for bag in range(2):
        embeddings, scores, logits = [], [], []
        for cycle in range(4):
            h = network.classifier[:-1](network.encoder(signal[bag, cycle : cycle + 1]))[0]
            content = [math.tanh(value) for value in linear(attention.content, h)]
            gates = [1 / (1 + math.exp(-value)) for value in linear(attention.gate, h)]
            parts = zip(attention.score.weight[0].tolist(), content, gates, strict=True)
            scores.append(sum(w * a * b for w, a, b in parts) + float(attention.score.bias))
            embeddings.append(h)
            logits.append(network(signal[bag, cycle : cycle + 1])[0, :3])
        weights = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
        pooled = sum((w * h for w, h in zip(weights, embeddings, strict=True)), torch.zeros_like(embeddings[0]))
        torch.testing.assert_close(found[bag], last(pooled), rtol=1e-4, atol=1e-5)
        mean = sum((w * each for w, each in zip(weights, logits, strict=True)), torch.zeros(3))
        torch.testing.assert_close(found[bag], mean, rtol=1e-4, atol=1e-5)


def test_cycles_that_are_there_again_do_not_count():
    outputs = torch.randn(2, 3, 4, requires_grad=True)
    again = outputs[:, [0, 1, 2, 0, 1]]
    is_first = torch.tensor([[True] * 3 + [False] * 2] * 2)
    expected = pool_bags(outputs, is_first[:, :3])
    torch.testing.assert_close(pool_bags(again, is_first), expected)
    assert not torch.allclose(pool_bags(again, torch.ones_like(is_first)), expected)
    pool_bags(again, is_first).sum().backward()
    assert outputs.grad is not None and bool(torch.isfinite(outputs.grad).all())


def test_half_precision_is_pooled_in_full():
    outputs = torch.randn(2, 3, 4)
    found = pool_bags(outputs.bfloat16(), torch.ones(2, 3, dtype=torch.bool))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, pool_bags(outputs, torch.ones(2, 3, dtype=torch.bool)), rtol=0.05, atol=0.05)
