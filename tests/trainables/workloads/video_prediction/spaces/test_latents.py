"""The autoencoder's architecture, and latents as the space of prediction, with random weights."""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.video.pipeline import VideoPipeline
from tests.ranks import run_ranks
from tests.tasks import seeded
from tests.trainables.workloads.video_prediction.conftest import (
    CPU,
    DATA,
    save_autoencoder,
    tiny_clips,
    tiny_config,
    tiny_windows,
)
from trainables.workloads.video_prediction.autoencoder import VaeShape
from trainables.workloads.video_prediction.config import Latents
from trainables.workloads.video_prediction.networks.vae import Vae
from trainables.workloads.video_prediction.spaces.latents import LatentSpace, load_vae
from trainables.workloads.video_prediction.task import VideoPredictionTask

LATENT_DATA = {**DATA, "channels": 3, "height": 32, "width": 64}


@pytest.fixture
def folder(tmp_path):
    return save_autoencoder(tmp_path)


def test_the_architecture_has_the_published_size_and_names():
    with torch.device("meta"):
        vae = Vae(VaeShape())
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863
    names = dict(vae.named_parameters())
    assert len(names) == 248
    assert names["encoder.down_blocks.1.resnets.0.conv_shortcut.weight"].shape == (256, 128, 1, 1)
    assert names["encoder.down_blocks.2.downsamplers.0.conv.weight"].shape == (512, 512, 3, 3)
    assert names["decoder.up_blocks.2.resnets.0.conv_shortcut.weight"].shape == (256, 512, 1, 1)
    assert names["decoder.up_blocks.0.upsamplers.0.conv.weight"].shape == (512, 512, 3, 3)
    assert names["decoder.mid_block.attentions.0.to_out.0.weight"].shape == (512, 512)
    assert "encoder.down_blocks.3.downsamplers.0.conv.weight" not in names
    assert VaeShape().factor == 8


def test_frames_in_minus_one_one_become_scaled_latents(folder):
    space = LatentSpace(Latents(weights=folder), height=8, width=12)
    assert (space.channels, space.height, space.width, space.is_bounded) == (4, 4, 6, False)
    frames = torch.randint(0, 256, (2, 3, 3, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    vae, _ = load_vae(folder)
    latents = space.encode(frames)
    assert latents.shape == (2, 3, 4, 4, 6)
    for sample in range(2):
        for time in range(3):
            moments = vae.quant_conv(vae.encoder(frames[sample, time][None].float() / 255 * 2 - 1))
            torch.testing.assert_close(latents[sample, time], moments[0, :4] * 0.18215)
    decoded = space.decode(latents)
    expected = (vae.decode(latents[0, :1] / 0.18215) + 1) / 2
    torch.testing.assert_close(decoded[0, :1], expected.clamp(0, 1))
    assert decoded.shape == (2, 3, 3, 8, 12) and decoded.min() >= 0 and decoded.max() <= 1


def test_it_is_frozen_and_no_part_of_what_is_trained(folder):
    task = build(folder)
    assert not any(parameter.requires_grad for parameter in task.space._vae.parameters())  # type: ignore[attr-defined]
    assert not any("encoder.down" in name for name in task.module.state_dict())


def build(folder) -> VideoPredictionTask:
    config = tiny_config(data=LATENT_DATA, latents={"weights": folder})
    return seeded(VideoPredictionTask)(config, VideoPipeline(config.data).data_spec(), 0)


def test_training_and_evaluation_go_through_latents(folder):
    task = build(folder)
    clips = tiny_clips(task.config, 2)
    loss = task.loss(task.module, tiny_windows(task.config, 2), draws=torch_draws(2, 0)).loss
    loss.backward()
    assert loss.isfinite() and task.example_inputs()[0].shape == (1, 3, 4, 16, 32)

    def body(ranks):
        evaluator = task.evaluator(ranks, CPU)
        evaluator.update(task.module.eval(), clips)
        return evaluator.compute(task.module)

    evaluation = run_ranks(1, body)[0]
    height, width = evaluation.panels[0].images.shape[-2:]
    assert height >= 2 * 32 and width >= 4 * 64  # truth above prediction, frames beside one another
    assert 0 < evaluation.metrics["eval/mse"] < 1


def test_older_names_and_convolutions_are_understood(folder):
    vae, _ = load_vae(folder)
    old = {}
    for name, tensor in vae.state_dict().items():
        for new, before in (
            (".to_q.", ".query."),
            (".to_k.", ".key."),
            (".to_v.", ".value."),
            (".to_out.0.", ".proj_attn."),
        ):
            name = name.replace(new, before)
        is_matrix = ".attentions." in name and name.endswith("weight") and tensor.ndim == 2
        old[name] = (tensor[:, :, None, None] if is_matrix else tensor).clone()
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    torch.save(old, folder / "diffusion_pytorch_model.bin")
    again, _ = load_vae(folder)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in vae.state_dict().items())


def test_weights_that_do_not_fit_are_named(folder):
    weights = {name: tensor.clone() for name, tensor in load_vae(folder)[0].state_dict().items()}
    weights["odd"] = weights.pop("quant_conv.bias")
    weights["encoder.conv_in.bias"] = torch.zeros(5)
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    with pytest.raises(
        ValueError, match=r"quant_conv\.bias is missing; odd is unknown; encoder\.conv_in\.bias is \(5,\)"
    ):
        load_vae(folder)
    (folder / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"model\.safetensors: is (no file of weights|damaged)"):
        load_vae(folder)
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(ValueError, match="holds neither"):
        load_vae(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="has no `block_out_channels`"):
        load_vae(folder)


def test_settings_that_latents_cannot_have_are_refused(folder):
    with pytest.raises(ValidationError, match=r"`data\.channels` must be 3"):
        tiny_config(data={**LATENT_DATA, "channels": 1}, latents={"weights": folder})
    config = tiny_config(data=LATENT_DATA, latents={})
    with pytest.raises(ValueError, match=r"`workload\.latents\.weights` is needed"):
        seeded(VideoPredictionTask)(config, VideoPipeline(config.data).data_spec(), 0)
