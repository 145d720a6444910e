"""Sizes of the networks as published, shapes, and parts written out."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainables.workloads.super_resolution.conftest import NETWORKS, tiny_config
from trainables.workloads.super_resolution import network_config
from trainables.workloads.super_resolution.network_config import Edsr, SymUNet, TransENet
from trainables.workloads.super_resolution.networks.factory import build_network
from trainables.workloads.super_resolution.networks.padding import pad_to_multiple
from trainables.workloads.super_resolution.networks.restormer import ChannelAttention, GatedFeedForward
from trainables.workloads.super_resolution.networks.transenet import Attention

SMALL_SYMUNET: dict[str, Any] = {"encoder_blocks": (1, 1), "decoder_blocks": (1, 1), "encoder_heads": (1, 2)}
CHEAP_SYMUNET: dict[str, Any] = {"encoder_blocks": (4, 6), "decoder_blocks": (6, 4), "encoder_heads": (1, 2)}
COUNTS = [
    (Edsr(), 2, 1_369_883),
    (Edsr(), 3, 1_554_523),
    (Edsr(), 4, 1_517_595),
    (Edsr(num_blocks=8, num_channels=32), 4, 232_987),
    (Edsr(num_blocks=4, num_channels=16), 4, 40_347),
    (Edsr(num_blocks=32, num_channels=256), 2, 40_729_627),
    (Edsr(num_blocks=32, num_channels=256), 4, 43_089_947),
    (TransENet(), 4, 37_458_907),
    (SymUNet(), 4, 12_641_245),
    (SymUNet(width=32, **CHEAP_SYMUNET), 4, 1_366_707),
    (SymUNet(width=64, encoder_blocks=(2, 2, 2), decoder_blocks=(2, 2, 2)), 4, 14_022_473),
    (SymUNet(width=16, **SMALL_SYMUNET), 4, 191_025),
]


@pytest.mark.parametrize(("config", "scale", "expected"), COUNTS)
def test_networks_have_the_published_number_of_parameters(config, scale, expected):
    with torch.device("meta"):
        network = build_network(config, [scale])
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


def test_before_upsampling_one_network_serves_all_scales():
    with torch.device("meta"):
        counts = [sum(p.numel() for p in build_network(SymUNet(), scales).parameters()) for scales in ([2], [2, 3, 4])]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(12, 12), (7, 9), (16, 5)])
def test_any_image_is_enlarged_by_every_scale(name, size):
    torch.manual_seed(0)
    network = build_network(tiny_config((2, 3, 4), NETWORKS[name]).network, (2, 3, 4)).eval()
    image = torch.rand(2, 3, *size)
    for scale in (2, 3, 4):
        assert network(image, scale).shape == (2, 3, scale * size[0], scale * size[1])
    assert torch.equal(network(image), network(image, 2))
    with pytest.raises(ValueError, match=r"built for the scales \[2, 3, 4\], not for 8"):
        network(image, 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_gets_a_gradient_at_every_scale(name):
    network = build_network(tiny_config((2, 3), NETWORKS[name]).network, (2, 3))
    network(torch.rand(1, 3, 12, 12), 3).mean().backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)
    unused = [p for key, p in network.named_parameters() if key.startswith(("tails.2.", "upsamplers.2."))]
    assert len(unused) == {"edsr": 4, "symunet": 0, "post": 2, "transenet": 2}[name]
    assert not any(torch.any(p.grad) for p in unused if p.grad is not None)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_edsr_equals_its_layers_written_out(scale):
    torch.manual_seed(0)
    config = Edsr(num_blocks=2, num_channels=4, residual_scaling=0.5)
    network: Any = build_network(config, [scale]).double()
    weights = dict(network.named_parameters())
    image = torch.rand(1, 3, 5, 6, dtype=torch.float64)

    def conv(x, name):
        return functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    mean = torch.tensor(config.rgb_mean).double().view(3, 1, 1)
    head = conv(255 * (image - mean), "head")
    x = head
    for block in range(2):
        x = x + 0.5 * conv(conv(x, f"body.{block}.body.0").relu(), f"body.{block}.body.2")
    x = head + conv(x, "body.2")
    for number, step in enumerate({2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]):
        x = functional.pixel_shuffle(conv(x, f"tails.{scale}.0.{2 * number}"), step)
    expected = conv(x, f"tails.{scale}.1") / 255 + mean
    assert torch.allclose(network(image), expected, atol=1e-6)


def test_a_bicubic_skip_with_a_zero_tail_gives_the_bicubic_image():
    network: Any = build_network(Edsr(num_blocks=1, num_channels=4, has_bicubic_skip=True), [3])
    for parameter in network.tails["3"][1].parameters():
        nn.init.zeros_(parameter)
    image = torch.rand(1, 3, 6, 7)
    expected = functional.interpolate(image, scale_factor=3, mode="bicubic", align_corners=False)
    assert torch.allclose(network(image), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["edsr", "transenet"])
def test_under_autocast_the_colours_are_not_rounded(name):
    """The last layer gives nothing, so that only the mean colour is left."""
    network: Any = build_network(tiny_config(network=NETWORKS[name]).network, [2]).eval()
    last = network.tails["2"][1] if name == "edsr" else network.tail
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        enlarged = network(torch.rand(1, 3, 12, 12))
    mean = network.add_mean.bias.view(1, 3, 1, 1) / (255 if name == "edsr" else 1)
    assert enlarged.dtype == torch.float32 and torch.allclose(enlarged, mean.expand_as(enlarged), atol=1e-6)


def test_the_mean_colour_is_frozen():
    network = build_network(Edsr(num_blocks=1, num_channels=4), [2])
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen == ["sub_mean.weight", "sub_mean.bias", "add_mean.weight", "add_mean.bias"]


def test_channel_attention_equals_loops_over_heads():
    torch.manual_seed(0)
    attention = ChannelAttention(6, num_heads=2).double()
    attention.temperature.data = torch.tensor([[[0.5]], [[2.0]]]).double()
    x = torch.rand(1, 6, 4, 5, dtype=torch.float64)
    qkv = attention.depthwise(attention.to_qkv(x))[0].flatten(1)
    out = []
    for head in range(2):
        q, k, v = (qkv[6 * part + 3 * head : 6 * part + 3 * head + 3] for part in range(3))
        logits = torch.zeros(3, 3).double()
        for i in range(3):
            for j in range(3):
                logits[i, j] = attention.temperature[head, 0, 0] * (q[i] @ k[j]) / (q[i].norm() * k[j].norm())
        for i in range(3):
            share = logits[i].exp() / logits[i].exp().sum()
            out.append(sum(share[j] * v[j] for j in range(3)))
    expected = attention.to_out(torch.stack(out).view(1, 6, 4, 5))  # pyright: ignore
    assert torch.allclose(attention(x), expected)


def test_the_feed_forward_part_gates_one_half_by_the_other():
    torch.manual_seed(0)
    part = GatedFeedForward(4, 2.66)
    x = torch.rand(1, 4, 5, 5)
    hidden = part.depthwise(part.to_hidden(x))
    assert hidden.shape[1] == 2 * int(2.66 * 4)
    assert torch.allclose(part(x), part.to_out(functional.gelu(hidden[:, :10]) * hidden[:, 10:]))


def test_transenet_attention_is_scaled_by_token_not_by_head():
    torch.manual_seed(0)
    config = network_config.TransENet(token_dim=16, num_heads=2, head_dim=4)
    attention = Attention(config).double()
    x, context = torch.rand(1, 3, 16, dtype=torch.float64), torch.rand(1, 5, 16, dtype=torch.float64)
    q, (k, v) = attention.to_q(x)[0], attention.to_kv(context)[0].chunk(2, dim=-1)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        weights = (q[:, head] @ k[:, head].T / 16**0.5).softmax(dim=-1)
        heads.append(weights @ v[:, head])
    assert torch.allclose(attention(x, context)[0], attention.to_out(torch.cat(heads, dim=-1)))


def test_transenet_tokens_are_patches_put_back_where_they_were():
    network: Any = build_network(tiny_config((2,), NETWORKS["transenet"]).network, (2,))
    side, features = 4, torch.rand(1, 4, 8, 12)
    patches = network.transformer._patchify(features)
    assert patches.shape == (1, 6, 4 * side**2)
    assert torch.equal(patches[0, 4], features[0, :, 4:8, 4:8].flatten())


@pytest.mark.parametrize("size", [(3, 5), (2, 2), (8, 9), (16, 16)])
def test_padding_reflects_at_right_and_bottom_repeatedly(size):
    image = torch.rand(1, 1, *size)
    padded = pad_to_multiple(image, 16)
    assert padded.shape[-2:] == (16, 16)
    assert torch.equal(padded[..., : size[0], : size[1]], image)
    if size == (8, 9):
        assert torch.equal(padded[..., 8:15, :9], image[..., :7, :].flip(-2))


def test_an_image_of_one_pixel_cannot_be_reflected():
    with pytest.raises(ValueError, match="an image of 1x1 pixels is too small"):
        pad_to_multiple(torch.rand(1, 1, 1, 1), 4)


@pytest.mark.parametrize("upsampling", ["pre", "post"])
def test_symunet_equals_its_parts_written_out(upsampling):
    """Two levels: skips are added on the way up, and the result to the bicubic image."""
    torch.manual_seed(0)
    network: Any = build_network(tiny_config((2,), {**NETWORKS["symunet"], "upsampling": upsampling}).network, (2,))
    image = torch.rand(1, 3, 16, 16)
    bicubic = functional.interpolate(image, scale_factor=2, mode="bicubic", align_corners=False)
    unet = network.unet
    first = unet.encoders[0](network.head(image if upsampling == "post" else bicubic))
    second = unet.encoders[1](functional.pixel_unshuffle(unet.downs[0][0](first), 2))
    lowest = unet.middle(functional.pixel_unshuffle(unet.downs[1][0](second), 2))
    x = unet.decoders[0](functional.pixel_shuffle(unet.ups[0][0](lowest), 2) + second)
    x = unet.decoders[1](functional.pixel_shuffle(unet.ups[1][0](x), 2) + first)
    residual = network.tail(x) if upsampling == "pre" else functional.pixel_shuffle(network.tails["2"][0](x), 2)
    assert torch.allclose(network(image), bicubic + residual, atol=1e-5)
