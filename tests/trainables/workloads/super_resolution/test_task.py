"""The task: loss, gradients, what it remembers, what it draws."""

import io

import pytest
import torch

from data_pipelines.contract.row_draws import TorchDraws, torch_draws
from tests.ranks import run_ranks, solo
from tests.tasks import seeded
from tests.trainables.workloads.super_resolution.conftest import (
    CPU,
    NETWORKS,
    Nearest,
    start_of,
    tiny_batch,
    tiny_config,
    tiny_patches,
)
from trainables.contract.train_context import Progress
from trainables.workloads.super_resolution.plots import BAR
from trainables.workloads.super_resolution.task import SuperResolutionTask


def draws() -> TorchDraws:
    return torch_draws(3, 0)


def test_the_loss_is_the_weighted_sum_of_its_terms_in_zero_one():
    config = tiny_config(loss="2*L1+0.5*MSE")
    patches = tiny_patches(config)
    output = seeded(SuperResolutionTask)(config, {}, 0).loss(Nearest(), patches, draws=draws())
    enlarged = patches["lr"].repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    difference = (enlarged.double() - patches["hr"].double()) / 255
    terms = {"l1": 2 * float(difference.abs().mean()), "mse": 0.5 * float(difference.square().mean())}
    assert {name: float(value) for name, value in output.metrics.items()} == pytest.approx(terms, rel=1e-5)
    assert float(output.loss) == pytest.approx(sum(terms.values()), rel=1e-5)


def test_the_scale_of_a_batch_is_read_off_its_patches():
    config = tiny_config((2, 3, 4))
    task, scales = seeded(SuperResolutionTask)(config, {}, 0), set()
    for seed in range(12):
        patches = tiny_patches(config, seed=seed)
        scales.add(patches["hr"].shape[-1] // 12)
        task.loss(task.module, patches, draws=draws()).loss.backward()
    assert scales == {2, 3, 4}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_few_steps_on_one_batch_lower_the_loss(name):
    config = tiny_config((2,), {**NETWORKS[name]})
    task, patches = seeded(SuperResolutionTask)(config, {}, 0), tiny_patches(config)
    optimizer = torch.optim.Adam([p for p in task.module.parameters() if p.requires_grad], lr=2e-3)
    losses = []
    for _ in range(30):
        loss = task.loss(task.module, patches, draws=draws()).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.97 * losses[0]


def test_weights_depend_on_the_seed_alone():
    states = []
    for global_seed, seed in ((0, 1), (1, 1), (1, 2)):
        torch.manual_seed(global_seed)
        states.append(seeded(SuperResolutionTask)(tiny_config(), {}, seed).module.state_dict()["head.weight"])
    assert torch.equal(states[0], states[1]) and not torch.equal(states[1], states[2])


def test_the_best_epoch_and_drawn_crops_survive_a_checkpoint():
    config = tiny_config(data={"scales": [2], "lr_patch_size": 30})
    task = seeded(SuperResolutionTask)(config, {}, 0)
    task.on_train_start(start_of(config, solo()))
    task.on_step_end(Progress(epoch=3, step=9, num_epochs=5, steps_per_epoch=3))
    evaluator = task.evaluator(solo(), CPU)
    evaluator.update(Nearest(), tiny_batch(config))
    first = evaluator.compute(Nearest()).metrics
    file = io.BytesIO()
    torch.save(task.state_dict(), file)
    file.seek(0)
    restored = seeded(SuperResolutionTask)(config, {}, 0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert (restored.best.psnr, restored.best.epoch) == (first["val/psnr"], 3)
    assert torch.equal(restored.plots.hr, task.plots.hr) and len(restored.plots.hr) == 2
    assert "val/epoch" in first and config.selection_metric.metric in first


def test_drawn_crops_are_centres_of_images_on_any_rank_count():
    config = tiny_config(pictures={"num_images": 4, "side": 48}, data={"scales": [2], "lr_patch_size": 30})

    def body(ranks):
        task = seeded(SuperResolutionTask)(config, {}, 0)
        task.on_train_start(start_of(config, ranks))
        return task.plots

    [alone], two = run_ranks(1, body), run_ranks(2, body)
    assert alone.hr.shape == (4, 3, 48, 48) and alone.lr.shape == (4, 3, 24, 24)
    for drawing in two:
        assert torch.equal(drawing.lr, alone.lr) and torch.equal(drawing.hr, alone.hr)


def test_pictures_show_lr_bicubic_ours_and_hr_each_with_its_psnr():
    config = tiny_config(data={"scales": [2], "lr_patch_size": 30})
    task = seeded(SuperResolutionTask)(config, {}, 0)
    task.on_train_start(start_of(config, solo()))
    [panel] = task.visualise(Nearest(), None, Progress(1, 1, 1, 1), CPU)
    assert panel.key == "val/comparison" and panel.columns == 4 and panel.images.shape == (8, 3, 192 + BAR, 192)
    lr, bicubic, ours, hr = panel.images[:4]
    assert panel.captions[0] == "LR x2" and panel.captions[3] == "HR"
    assert panel.captions[1].startswith("bicubic ") and panel.captions[2].startswith("ours ")
    assert torch.equal(lr[:, :192], ours[:, :192])  # this network repeats pixels
    assert torch.equal(hr[:, :192:4, ::4], task.plots.hr[0])
    assert not torch.equal(bicubic[:, :192], ours[:, :192])
    assert all(bool((image[:, 192:] < 128).any()) for image in (lr, bicubic, ours, hr))  # something is written


def test_images_that_are_too_small_are_not_drawn():
    config = tiny_config(pictures={"side": 96})
    task = seeded(SuperResolutionTask)(config, {}, 0)
    task.on_train_start(start_of(config, solo()))
    assert task.visualise(Nearest(), None, Progress(1, 1, 1, 1), CPU) == []
