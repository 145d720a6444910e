"""Exact sizes, shapes, causality, and which settings do not fit."""

import math

import pytest
import torch
from pydantic import ValidationError

from trainables.workloads.heart_sound.finetune.config import Head
from trainables.workloads.heart_sound.finetune.network import FinetuneNetwork
from trainables.workloads.heart_sound.networks.config import EncoderConfig
from trainables.workloads.heart_sound.networks.encoder import AttentionPool, Encoder, sinusoidal_positions
from trainables.workloads.heart_sound.networks.mamba import DT_RANGE, Mamba
from trainables.workloads.heart_sound.pretrain.config import Contrast
from trainables.workloads.heart_sound.pretrain.network import PretrainNetwork

SMALL = {"channels": (4, 6, 8, 8), "num_layers": 1, "state_size": 3, "num_heads": 2}


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_three_encoders_have_the_stated_sizes():
    # stem 7*32 + 2*32; stages: two convolutions, a shortcut and three norms each; last norm 256
    sizes = ((32, 64, 5), (64, 128, 5), (128, 256, 3))
    convolutions = 288 + sum(a * b * k + b * b * k + a * b + 6 * b for a, b, k in sizes) + 256
    # in_proj, conv, x_proj, dt_proj, A and D, out_proj, norm
    mamba = 256 * 1024 + 512 * 5 + 512 * 33 + 2 * 512 + 512 * 17 + 512 * 256 + 256
    transformer = 4 * 256 * 256 + 4 * 256 + 2 * 256 * 1024 + 1024 + 256 + 4 * 256
    assert count(Encoder(EncoderConfig())) == convolutions + 4 * mamba == 2_185_376
    assert count(Encoder(EncoderConfig(sequence="transformer"))) == convolutions + 4 * transformer == 3_653_792
    assert count(Encoder(EncoderConfig(sequence="none"))) == convolutions == 494_752


def test_attention_over_time_is_that_of_the_paper():
    encoder = Encoder(EncoderConfig(sequence="none", pooling="attention")).eval()
    assert count(encoder) == 494_752 + 2 * (256 * 128 + 128) + 128 + 1
    pool, x = encoder.pool.requires_grad_(False), torch.randn(2, 5, 256)
    assert isinstance(pool, AttentionPool)
    for row in range(2):
        scores = []
        for step in range(5):
            content, gate = pool.content(x[row, step]).tanh(), pool.gate(x[row, step]).sigmoid()
            scores.append(float((pool.score.weight[0] * content * gate).sum() + pool.score.bias))
        weights = [math.exp(each) / sum(map(math.exp, scores)) for each in scores]
        expected = sum((weight * x[row, step] for step, weight in enumerate(weights)), torch.zeros(256))
        torch.testing.assert_close(pool(x)[row], expected, rtol=1e-4, atol=1e-5)


def test_projectors_and_heads_have_the_stated_sizes():
    encoder = EncoderConfig()
    cycle, part = 256 * 512 + 512 + 1024 + 512 * 128 + 128, 128 * 256 + 256 + 512 + 256 * 64 + 64
    assert count(PretrainNetwork(encoder, Contrast())) == 2_185_376 + cycle + part
    assert count(PretrainNetwork(encoder, Contrast(sub_weight=0))) == 2_185_376 + cycle
    full, linear = (FinetuneNetwork(encoder, Head(), num_classes=3, is_frozen=frozen) for frozen in (False, True))
    assert count(full.classifier) == 256 * 128 + 128 + 256 + 128 * 3 + 3
    assert count(linear.classifier) == 256 * 3 + 3


@pytest.mark.parametrize("sequence", ["mamba", "transformer", "none"])
@pytest.mark.parametrize("length", [4000, 501])
def test_any_length_gives_one_embedding(sequence, length):
    encoder = Encoder(EncoderConfig(**{**SMALL, "sequence": sequence})).eval()
    signal = torch.randn(3, length)
    assert encoder(signal).shape == (3, 8) and encoder.encode_segments(signal).shape == (3, 8)
    torch.testing.assert_close(encoder(signal)[1:2], encoder(signal[1:2]))


def test_four_thousand_samples_are_two_hundred_and_fifty_steps():
    encoder = Encoder(EncoderConfig(**SMALL)).eval()
    x = encoder.stem(torch.zeros(1, 1, 4000))
    for stage in encoder.stages:
        x = stage(x)
    assert x.shape == (1, 8, 250)


def test_mamba_sees_no_later_step():
    torch.manual_seed(0)
    layer = Mamba(8, state_size=3, expansion=2)
    x = torch.randn(1, 12, 8)
    changed = x.clone()
    changed[:, 7] += 1
    difference = (layer(x) - layer(changed)).detach().abs().amax(dim=-1)[0]
    assert float(difference[:7].max()) == 0 and float(difference[7:].min()) > 0


def test_initial_steps_are_in_range_and_decays_are_integers():
    torch.manual_seed(0)
    layer = Mamba(64, state_size=4, expansion=2)
    dt = torch.nn.functional.softplus(layer.dt_proj.bias).detach()
    assert DT_RANGE[0] * 0.999 <= float(dt.min()) < 0.002 and 0.05 < float(dt.max()) <= DT_RANGE[1] * 1.001
    torch.testing.assert_close(layer.a_log.exp()[5], torch.arange(1.0, 5.0))


def test_positions_differ_and_odd_widths_fit():
    positions = sinusoidal_positions(50, 8)
    assert len({tuple(row.tolist()) for row in positions}) == 50
    assert sinusoidal_positions(3, 7).shape == (3, 7)
    assert sinusoidal_positions(3, 8, device=torch.device("meta")).device.type == "meta"


def test_parts_are_described_each_by_itself():
    torch.manual_seed(0)
    network = PretrainNetwork(EncoderConfig(**SMALL), Contrast(num_parts=4)).eval()
    signal = torch.randn(2, 400)
    changed = signal.clone()
    changed[:, 100:200] *= -1
    (_, parts), (_, others) = (network.separate(network(each)) for each in (signal, changed))
    assert parts is not None and others is not None and parts.shape == (2, 4, 64)
    assert torch.equal(parts[:, [0, 2, 3]], others[:, [0, 2, 3]]) and not torch.equal(parts[:, 1], others[:, 1])


def test_heads_must_divide_the_width():
    with pytest.raises(ValidationError, match="`num_heads` \\(8\\) must divide"):
        EncoderConfig(sequence="transformer", channels=(4, 4, 4, 12))
