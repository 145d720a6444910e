"""The task: its loss, what it draws, what it keeps, what its settings refuse."""

import sys

import pytest
import torch
from pydantic import ValidationError

from data_pipelines.contract.row_draws import torch_draws
from tests.ranks import run_ranks, solo
from tests.trainables.workloads.video_prediction.conftest import (
    CPU,
    DATA,
    NETWORK,
    start_of,
    tiny_clips,
    tiny_config,
    tiny_task,
    tiny_windows,
)
from trainables.contract.panels import ImagePanel
from trainables.contract.train_context import Progress
from trainables.workloads.video_prediction.plots import Shown, draw_columns
from trainables.workloads.video_prediction.spaces.frame_spaces import PixelSpace

SIMVP = {"name": "simvp", "channels": 8, "hidden_channels": 16, "num_blocks": 1}
PROGRESS = Progress(epoch=1, step=1, num_epochs=1, steps_per_epoch=1)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_the_loss_is_the_mean_squared_residual_of_the_target(prediction):
    config = tiny_config(diffusion={"num_timesteps": 20, "prediction": prediction})
    task = tiny_task(config)
    batch = tiny_windows(config)
    loss = task.loss(task.module, batch, draws=torch_draws(4, 1)).loss
    drawn = torch_draws(4, 1)
    t = drawn.integers(20)
    future = batch["future"].float() / 127.5 - 1
    eps = drawn.normal(*future.shape[1:])
    process = task.predictor.process  # type: ignore[attr-defined]
    total = 0.0
    for row in range(4):
        alpha_bar = process.alpha_bars[t[row]].item()
        x_t = alpha_bar**0.5 * future[row] + (1 - alpha_bar) ** 0.5 * eps[row]
        past = batch["past"][row : row + 1].float() / 127.5 - 1
        output = task.module(x_t[None], t[row : row + 1], past)[0]
        v = alpha_bar**0.5 * eps[row] - (1 - alpha_bar) ** 0.5 * future[row]
        total += (output - {"eps": eps[row], "x0": future[row], "v": v}[prediction]).square().mean().item() / 4
    assert loss.item() == pytest.approx(total, rel=1e-4)


def test_the_baseline_network_learns_frames_directly():
    config = tiny_config(network=SIMVP)
    task = tiny_task(config)
    batch = tiny_windows(config)
    loss = task.loss(task.module, batch, draws=torch_draws(4, 1)).loss
    past, future = (batch[name].float() / 127.5 - 1 for name in ("past", "future"))
    assert loss.item() == pytest.approx((task.module(past) - future).square().mean().item())


def test_frames_survive_pixel_space():
    frames = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 16, 16)
    space = PixelSpace(1, 16, 16)
    encoded = space.encode(frames)
    assert encoded.min() == -1 and encoded.max() == 1
    assert torch.equal((space.decode(encoded) * 255).round().to(torch.uint8), frames)
    assert space.decode(torch.tensor([-3.0, 3.0])).tolist() == [0, 1]


@pytest.mark.parametrize("network", [{"name": "dit", "size": "mini"}, SIMVP])
def test_the_same_window_is_drawn_again_after_a_resume(network):
    config = tiny_config(network=network)
    task = tiny_task(config)
    run_ranks(1, lambda ranks: task.on_train_start(start_of(config, ranks)))
    (first,) = task.visualise(task.module.eval(), None, PROGRESS, CPU)
    other = tiny_task(config)
    other.load_state_dict(task.state_dict())
    (second,) = other.visualise(other.module.eval(), None, PROGRESS, CPU)
    assert isinstance(first, ImagePanel) and isinstance(second, ImagePanel)
    assert first.key == "train/visualization" and torch.equal(first.images, second.images)


def test_all_ranks_choose_the_first_window_of_the_split():
    config = tiny_config()

    def body(ranks):
        task = tiny_task(config)
        task.on_train_start(start_of(config, ranks))
        return task.state_dict()

    first = tiny_clips(config, 1)["frames"]
    for state in [*run_ranks(1, body), *run_ranks(2, body)]:
        assert torch.equal(torch.cat([state["past"], state["future"]], 1)[0], first[:5])


def test_the_picture_has_past_frames_then_truth_above_prediction():
    past = torch.arange(2, dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 4, 4)
    future = torch.arange(10, 13, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    prediction = torch.arange(20, 23).view(3, 1, 1, 1).expand(3, 1, 4, 4) / 255
    panel = draw_columns(Shown(past, future, prediction))
    assert panel.columns == 5 and panel.images[:, 0, 0, 0].tolist() == [0, 1, 10, 11, 12, 255, 255, 20, 21, 22]
    assert list(panel.captions) == [
        "t-1",
        "t",
        "truth t+1",
        "truth t+2",
        "truth t+3",
        "",
        "",
        "predicted t+1",
        "predicted t+2",
        "predicted t+3",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {**DATA, "height": 14}}, r"`data\.height` \(14\) must be a multiple of 4.*nearest is 16"),
        ({"evaluation": {"sampling": {"num_steps": 21}}}, r"num_steps` \(21\) must be at most"),
        ({"diffusion": {"prediction": "score"}}, "Input should be 'eps', 'x0' or 'v'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        tiny_config(**settings)


def test_an_mp4_without_pyav_is_refused_before_a_step(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"PyAV, which is not installed: pip install quintet\[video\]"):
        tiny_task(tiny_config(animation="mp4"))
    tiny_task(tiny_config())


def test_without_weights_fvd_is_left_out_and_that_is_said_once(caplog):
    config = tiny_config()
    task = tiny_task(config)
    run_ranks(1, lambda ranks: task.on_train_start(start_of(config, ranks)))
    task.evaluator(solo(), CPU)
    (record,) = caplog.records
    assert "eval/fvd is left out: it needs `workload.evaluation.i3d_weights`" in record.message


@pytest.mark.parametrize(("prediction", "patch_size", "warns"), [("v", 8, True), ("v", 4, False), ("x0", 8, False)])
def test_tokens_too_narrow_for_the_noise_are_warned_of(caplog, prediction, patch_size, warns):
    network = {**NETWORK, "name": "dit", "patch_size": patch_size}
    data = {**DATA, "channels": 3, "height": 16}
    config = tiny_config(data=data, network=network, diffusion={"num_timesteps": 20, "prediction": prediction})
    run_ranks(1, lambda ranks: tiny_task(config).on_train_start(start_of(config, ranks)))
    said = [record.getMessage() for record in caplog.records]
    assert any("a token stands for 192 values and has 96 dimensions" in line for line in said) == warns


def test_fvd_needs_clips_of_nine_frames(tmp_path):
    (tmp_path / "i3d.pt").touch()
    evaluation = {"i3d_weights": tmp_path / "i3d.pt", "sampling": {"num_steps": 3}}
    with pytest.raises(ValidationError, match=r"here 5, and its network needs 9; set `evaluation.rollout_frames` to 7"):
        tiny_config(evaluation=evaluation)
    assert tiny_config(evaluation={**evaluation, "rollout_frames": 7}).num_predicted == 7


def test_run_names_hold_what_tells_two_runs_apart():
    assert tiny_config().run_name_parts == ("video_prediction", "bouncing_digits", "2to3", "dit", "mini-4", "v")
    assert tiny_config(network=SIMVP).run_name_parts[-2:] == ("simvp", "ch8")
