import math

import numpy as np
import pytest
import torch
from torch import nn

from trainables.workloads.flow_matching.config import Network
from trainables.workloads.flow_matching.flow.network import SelfAttention, VelocityNetwork, sinusoid


def build(multipliers: tuple[int, ...] = (1, 2), channels: int = 1) -> VelocityNetwork:
    torch.manual_seed(0)
    settings = Network(base_channels=8, channel_multipliers=multipliers, num_groups=4, num_heads=2)
    return VelocityNetwork(settings, channels=channels, num_classes=3).eval()


def with_random_output(network: VelocityNetwork) -> VelocityNetwork:
    nn.init.normal_(network.conv_out.weight)
    return network


@pytest.mark.parametrize(("base", "count"), [(128, 27_147_651), (64, 6_799_043), (32, 1_705_827)])
def test_parameter_count_is_that_of_the_published_system(base: int, count: int):
    with torch.device("meta"):
        network = VelocityNetwork(Network(base_channels=base), channels=3, num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(("size", "multipliers"), [((8, 8), (1, 2)), ((8, 12), (1, 2, 2)), ((5, 7), (1,))])
def test_output_has_the_shape_of_the_input(size: tuple[int, int], multipliers: tuple[int, ...]):
    network = with_random_output(build(multipliers))
    velocity = network(torch.randn(2, 1, *size), torch.rand(2), torch.tensor([0, 3]))
    assert velocity.shape == (2, 1, *size) and velocity.abs().sum() > 0


def test_a_size_that_cannot_be_halved_is_refused_with_both_sizes():
    with pytest.raises(ValueError, match="images are 6x8; with 3 levels both sides must be multiples of 4"):
        build((1, 2, 2))(torch.zeros(1, 1, 6, 8), torch.zeros(1), torch.zeros(1, dtype=torch.long))


def test_an_untrained_network_predicts_no_velocity():
    velocity = build()(torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 1]))
    assert torch.equal(velocity, torch.zeros(2, 1, 8, 8))


def test_time_and_label_change_velocity_and_samples_do_not_mix():
    network = with_random_output(build()).double()
    x = torch.randn(1, 1, 8, 8, dtype=torch.float64).repeat(4, 1, 1, 1)
    t, label = torch.tensor([0.2, 0.21, 0.2, 0.2], dtype=torch.float64), torch.tensor([0, 0, 1, 3])
    velocity = network(x, t, label)
    for i in range(1, 4):
        assert not torch.allclose(velocity[0], velocity[i], atol=1e-4)
    assert torch.allclose(velocity[2:3], network(x[2:3], t[2:3], label[2:3]), rtol=0, atol=1e-9)


def test_skip_connections_carry_detail_past_the_lowest_level():
    network = with_random_output(build())
    for parameter in network.middle.parameters():
        nn.init.zeros_(parameter)
    nn.init.zeros_(network.get_parameter("upsamples.0.weight"))
    x, t, label = torch.randn(1, 1, 8, 8), torch.rand(1), torch.tensor([0])
    assert not torch.allclose(network(x, t, label), network(x + torch.randn_like(x), t, label))


def test_attention_equals_the_sum_over_pixels_written_as_loops():
    torch.manual_seed(1)
    attention = SelfAttention(8, num_heads=2, num_groups=4)
    x = torch.randn(1, 8, 2, 3)
    q, k, v = attention.qkv(attention.norm(x)).flatten(2)[0].split(8)
    mixed = torch.zeros(8, 6)
    for head in range(2):
        rows = slice(4 * head, 4 * head + 4)
        for i in range(6):
            weights = torch.stack([q[rows, i] @ k[rows, j] / math.sqrt(4) for j in range(6)]).softmax(0)
            mixed[rows, i] = sum(weights[j] * v[rows, j] for j in range(6))
    expected = x + attention.proj(mixed.view(1, 8, 2, 3))
    assert torch.allclose(attention(x), expected, atol=1e-6)


@pytest.mark.parametrize("dim", [6, 7])
def test_sinusoid_equals_the_formula(dim: int):
    half = (dim + 1) // 2
    angles = np.array([[p * 10_000 ** (-i / half) for i in range(half)] for p in (0.0, 250.0, 1000.0)])
    expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)[:, :dim]
    assert np.allclose(sinusoid(torch.tensor([0.0, 250.0, 1000.0]), dim), expected, atol=1e-3)


def test_time_is_spread_over_the_range_of_the_sinusoid():
    seen: list[torch.Tensor] = []
    network = build()
    network.embedding.time.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(torch.zeros(1, 1, 8, 8), torch.tensor([0.5]), torch.tensor([0]))
    assert torch.allclose(seen[0], sinusoid(torch.tensor([500.0]), 8))


def test_gradients_reach_every_parameter():
    network = with_random_output(build()).train()
    network(torch.randn(4, 1, 8, 8), torch.rand(4), torch.arange(4)).square().mean().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_channels_last_and_autocast_keep_the_velocity_close():
    network = with_random_output(build())
    x, t, label = torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 1])
    expected = network(x, t, label)
    network.to(memory_format=torch.channels_last)
    changed = network(x.to(memory_format=torch.channels_last), t, label)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = network(x, t, label)
    assert torch.allclose(changed, expected, atol=1e-4)
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - expected).abs().mean() < 0.1 * expected.abs().mean()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_network_compiles_to_one_graph_of_equal_velocity():
    network = with_random_output(build())
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    inputs = torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 1])
    assert torch.allclose(compiled(*inputs), network(*inputs), atol=1e-6)
