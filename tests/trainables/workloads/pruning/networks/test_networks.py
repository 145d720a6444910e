"""Sizes of the networks, exactly, and their parts against loops."""

import pytest
import torch
from torch import nn

from tests.trainables.workloads.pruning.tiny_networks import ARCHS, images, lively, tiny
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, count_prunable, find_groups, measure_size
from trainables.workloads.pruning.networks.normalisation import PUBLISHED, Normalize
from trainables.workloads.pruning.networks.resnet import CIFAR_DEPTHS, PaddedShortcut
from trainables.workloads.pruning.networks.vit import Attention, VisionTransformer

PUBLISHED_SIZES = {
    ("vit_tiny", 10): (2_697_610, 2_654_208, 187_716_864),
    ("vit_tiny", 100): (2_714_980, 2_654_208, 187_734_144),
    ("vit_small", 10): (21_342_346, 21_233_664, 1_420_309_248),
    ("vit_small", 100): (21_376_996, 21_233_664, 1_420_343_808),
    ("vit_base", 10): (85_152_010, 84_934_656, 5_600_994_816),
    ("vit_base", 100): (85_221_220, 84_934_656, 5_601_063_936),
    ("res20s", 10): (269_722, 267_264, 40_551_040),
    ("res20s", 100): (275_572, 267_264, 40_556_800),
    ("res32s", 10): (464_154, 460_800, 68_862_592),
    ("res44s", 10): (658_586, 654_336, 97_174_144),
    ("res56s", 10): (853_018, 847_872, 125_485_696),
    ("res56s", 100): (858_868, 847_872, 125_491_456),
    ("res18", 10): (11_173_962, 11_157_504, 555_422_720),
    ("res18", 100): (11_220_132, 11_157_504, 555_468_800),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "num_classes"), PUBLISHED_SIZES)
def test_parameters_prunable_weights_and_macs_are_exact(arch, num_classes):
    size = measure_size(Blueprint(arch, 3, 32, 32, num_classes))
    assert (size.parameters, size.prunable, size.macs) == PUBLISHED_SIZES[arch, num_classes]


@pytest.mark.parametrize(("arch", "depth"), CIFAR_DEPTHS.items())
def test_macs_and_depth_of_cifar_resnets_by_definition(arch, depth):
    """conv: Cout Cin k^2 Ho Wo; the classifier: in x out. 6 n + 2 layers have weights, 2 n in each stage."""
    num_layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in build_network(tiny(arch)).modules())
    assert num_layers == depth
    total = 16 * 3 * 9 * 32 * 32
    before, side = 16, 32
    for width in (16, 32, 64):
        for block in range((depth - 2) // 6):
            side = side // 2 if width > before and block == 0 else side
            total += width * before * 9 * side**2 + width * width * 9 * side**2
            before = width
    assert measure_size(Blueprint(arch, 3, 32, 32, 10)).macs == total + 64 * 10


def test_macs_of_a_vit_by_its_definition():
    """linear: in x out per token; attention: 2 T^2 dh H."""
    dim, tokens = 192, 65
    block = tokens * (4 * dim * dim + 2 * dim * 2 * dim) + 2 * tokens**2 * dim
    total = 64 * dim * 3 * 16 + 9 * block + dim * 10
    assert measure_size(Blueprint("vit_tiny", 3, 32, 32, 10)).macs == total


@pytest.mark.parametrize("arch", ARCHS)
def test_every_architecture_takes_small_grey_images(arch):
    network = build_network(tiny(arch)).eval()
    assert network(images(3)).shape == (3, 4)
    assert measure_size(tiny(arch)).parameters == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("arch", ARCHS)
def test_all_layers_but_the_first_and_last_are_prunable(arch):
    names = set(count_prunable(tiny(arch)))
    weights = {name for name, tensor in build_network(tiny(arch)).state_dict().items() if tensor.ndim in (2, 4)}
    ends = {"conv1.weight", "fc.weight", "patch_embed.proj.weight", "head.weight"}
    assert names == weights - ends


@pytest.mark.parametrize("arch", ARCHS)
def test_weights_follow_the_seed_not_the_global_random_state(arch):
    before = torch.get_rng_state()
    first, second, other = (build_network(tiny(arch), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_network_normalises_both_forms_of_pixels():
    mean, std = PUBLISHED["cifar10"]
    normalize = Normalize(3)
    normalize.set(mean, std)
    pixels = torch.randint(0, 256, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = normalize(pixels)
    for channel in range(3):
        expected = (pixels[1, channel, 2, 3].item() / 255 - mean[channel]) / std[channel]
        assert found[1, channel, 2, 3].item() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(normalize(pixels.float() / 255), found)
    with pytest.raises(ValueError, match="3 channels given for images of 1"):
        Normalize(1).set(mean, std)
    with pytest.raises(ValueError, match="must be above 0"):
        Normalize(1).set([0.5], [0.0])


def test_the_padded_shortcut_equals_a_loop_on_pruned_streams():
    x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    before, after = (0, 2, 5), (1, 2, 3, 4, 7, 8)
    found = PaddedShortcut(before, after, padding=2)(x)
    for index, channel in enumerate(after):
        source = channel - 2
        expected = x[:, before.index(source), ::2, ::2] if source in before else torch.zeros(2, 3, 3)
        assert torch.equal(found[:, index], expected)


def test_attention_equals_a_loop_over_heads():
    generator = torch.Generator().manual_seed(0)
    attention = Attention(12, num_heads=2, head_dim=4).double()
    x = torch.randn(2, 5, 12, generator=generator, dtype=torch.float64)
    qkv = x @ attention.qkv.weight.T + attention.qkv.bias
    mixed = torch.zeros(2, 5, 8, dtype=torch.float64)
    for head in range(2):
        q, k, v = (qkv[..., part * 8 + head * 4 :][..., :4] for part in range(3))
        weights = torch.softmax(q @ k.transpose(1, 2) / 4**0.5, dim=-1)
        mixed[..., head * 4 : head * 4 + 4] = weights @ v
    torch.testing.assert_close(attention(x), mixed @ attention.proj.weight.T + attention.proj.bias)


def test_a_patch_that_does_not_divide_the_image_is_refused():
    with pytest.raises(ValueError, match=r"`workload.patch_size` is 4, which does not divide images of 10x8"):
        VisionTransformer(Blueprint("vit_tiny", 1, 10, 8, 2))


@pytest.mark.parametrize("arch", ARCHS)
def test_a_blueprint_survives_json(arch):
    import json

    blueprint = tiny(arch).keeping({find_groups(tiny(arch))[0].name: [0, 2]})
    assert Blueprint.from_plain(json.loads(json.dumps(blueprint.to_plain()))) == blueprint
    assert blueprint.dense() == tiny(arch)
    assert lively(blueprint)(images(2)).shape == (2, 4)
