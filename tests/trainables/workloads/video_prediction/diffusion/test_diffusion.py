"""The forward process and the samplers against closed forms."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainables.contract.seeding import seeded_generator
from trainables.workloads.video_prediction.config import Diffusion, Sampling
from trainables.workloads.video_prediction.diffusion.process import Estimate, Process, compute_betas
from trainables.workloads.video_prediction.diffusion.sampling import choose_timesteps, draw_samples, transition

CPU = torch.device("cpu")


def process(**settings: object) -> Process:
    return Process(Diffusion.model_validate({"schedule": "linear", **settings}))


def test_the_linear_schedule_is_the_published_one():
    betas = compute_betas(Diffusion(schedule="linear"))
    assert len(betas) == 1000 and betas[0] == 1e-4 and betas[-1] == 0.02
    product = 1.0
    for step in range(1000):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * step / 999)
    assert process().alpha_bars[-1].item() == pytest.approx(product, rel=1e-9)
    assert product == pytest.approx(4.0358e-5, rel=1e-3)


def test_the_cosine_schedule_is_the_published_one():
    alpha_bars = process(schedule="cosine").alpha_bars
    start = math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    for t in (0, 1, 250, 500, 900, 990):
        expected = math.cos(((t + 1) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 / start
        assert alpha_bars[t].item() == pytest.approx(expected, rel=1e-9)
    assert compute_betas(Diffusion(schedule="cosine"))[-1] == 0.999


def test_the_table_is_copied_to_a_device_once():
    class Copies(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten._to_copy.default and args[0].device == CPU
            return func(*args, **(kwargs or {}))

    forward, frames = process(), torch.zeros(2, 1, 3, 4, 4, device="meta")
    with Copies() as copies:
        for _ in range(3):
            forward.add_noise(frames, frames, torch.zeros(2, dtype=torch.int64, device="meta"))
    assert copies.count == 1 and forward.alpha_bars.device == CPU


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_noised_frames_have_the_moments_of_the_closed_form(schedule):
    forward = process(schedule=schedule)
    x_0 = torch.full((200_000,), 0.7)
    for t in (0, 300, 999):
        eps = torch.randn(200_000, generator=seeded_generator(0, "moments", t))
        x_t = forward.add_noise(x_0, eps, torch.full((200_000,), t))
        alpha_bar = forward.alpha_bars[t].item()
        assert x_t.mean().item() == pytest.approx(0.7 * alpha_bar**0.5, abs=0.01)
        assert x_t.var().item() == pytest.approx(1 - alpha_bar, abs=0.01)


def test_one_noising_is_many_small_ones_in_distribution():
    forward, count = process(num_timesteps=20, beta_end=0.3), 200_000
    x_t, generator = torch.full((count,), 0.5), seeded_generator(1, "steps")
    for beta in forward.betas.float():
        x_t = (1 - beta).sqrt() * x_t + beta.sqrt() * torch.randn(count, generator=generator)
    alpha_bar = forward.alpha_bars[-1].item()
    assert x_t.mean().item() == pytest.approx(0.5 * alpha_bar**0.5, abs=0.01)
    assert x_t.var().item() == pytest.approx(1 - alpha_bar, abs=0.01)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_every_target_gives_back_both_parts_of_what_was_mixed(prediction, schedule):
    forward = process(prediction=prediction, schedule=schedule)
    generator = seeded_generator(2, "parts")
    x_0, eps = (torch.randn(5, 2, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    t = torch.tensor([0, 10, 500, 900, 990])
    x_t = forward.add_noise(x_0, eps, t)
    estimate = forward.estimate(forward.target(x_0, eps, t), x_t, t)
    torch.testing.assert_close(estimate.x_0, x_0)
    torch.testing.assert_close(estimate.eps, eps)
    torch.testing.assert_close(forward.estimate_noise(x_0, x_t, t), eps)


def test_v_is_the_derivative_along_the_circle():
    forward = process(prediction="v")
    alpha_bar = forward.alpha_bars[400].item()
    angle = math.acos(alpha_bar**0.5)
    x_0, eps = torch.tensor([[0.3]], dtype=torch.float64), torch.tensor([[-1.2]], dtype=torch.float64)
    slope = (
        (math.cos(angle + 1e-6) * 0.3 + math.sin(angle + 1e-6) * -1.2)
        - (math.cos(angle) * 0.3 + math.sin(angle) * -1.2)
    ) / 1e-6
    assert forward.target(x_0, eps, torch.tensor([400])).item() == pytest.approx(slope, abs=1e-5)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("num_steps", [1, 7, 50])
@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_sampling_with_the_true_output_ends_at_the_clean_frames(prediction, num_steps, method):
    forward = process(prediction=prediction)
    x_0 = torch.rand(3, 2, 4, generator=seeded_generator(3, "clean")) * 2 - 1
    calls = []

    def denoiser(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        calls.append(int(t[0]))
        return forward.target(x_0, forward.estimate_noise(x_0, x_t, t), t)

    drawn = draw_samples(
        denoiser,
        forward,
        Sampling(method=method, num_steps=num_steps),  # type: ignore[arg-type]
        shape=(2, 4),
        generators=[seeded_generator(4, "noise", index) for index in range(3)],
        device=CPU,
        is_bounded=False,
    )
    torch.testing.assert_close(drawn.frames, x_0, atol=2e-3, rtol=0)
    assert drawn.nfe == len(calls) == num_steps and calls == choose_timesteps(num_steps, 1000)


def test_timesteps_go_from_the_last_to_the_first():
    assert choose_timesteps(1, 1000) == [999] and choose_timesteps(2, 1000) == [999, 0]
    assert choose_timesteps(4, 1000) == [999, 666, 333, 0]
    assert choose_timesteps(1000, 1000) == list(range(999, -1, -1))


def test_a_ddpm_step_is_the_posterior_of_the_paper():
    forward = process()
    x_0, x_t, eps = (torch.randn(4, dtype=torch.float64, generator=seeded_generator(5, name)) for name in "abc")
    for t in (1, 400, 999):
        beta, alpha_bar = forward.betas[t].item(), forward.alpha_bars[t].item()
        before = forward.alpha_bars[t - 1].item()
        mean, deviation = transition(forward, Sampling(method="ddpm"), Estimate(x_0, eps), x_t, t=t, s=t - 1)
        expected = before**0.5 * beta / (1 - alpha_bar) * x_0 + (1 - beta) ** 0.5 * (1 - before) / (1 - alpha_bar) * x_t
        torch.testing.assert_close(mean, expected)
        assert deviation**2 == pytest.approx(beta * (1 - before) / (1 - alpha_bar))


@pytest.mark.parametrize(("t", "s"), [(999, 998), (500, 499), (999, 400), (30, 0)])
def test_ddim_with_eta_1_is_ddpm(t, s):
    forward = process(schedule="cosine")
    x_0, eps = (torch.randn(4, dtype=torch.float64, generator=seeded_generator(6, name)) for name in "ab")
    x_t = forward.add_noise(x_0[None], eps[None], torch.tensor([t]))[0]
    ancestral = transition(forward, Sampling(method="ddpm"), Estimate(x_0, eps), x_t, t=t, s=s)
    implicit = transition(forward, Sampling(method="ddim", eta=1.0), Estimate(x_0, eps), x_t, t=t, s=s)
    torch.testing.assert_close(implicit[0], ancestral[0])
    assert implicit[1] == pytest.approx(ancestral[1])


def test_the_last_step_adds_no_noise():
    estimate = Estimate(torch.ones(2), torch.ones(2))
    for method in ("ddim", "ddpm"):
        sampling = Sampling(method=method, eta=1.0)  # type: ignore[arg-type]
        mean, deviation = transition(process(), sampling, estimate, torch.ones(2), t=0, s=None)
        assert deviation == 0 and torch.allclose(mean, torch.ones(2))


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_samples_of_a_gaussian_have_its_variance(method):
    forward, deviation = process(schedule="cosine", num_timesteps=200), 0.5

    def best_guess(x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        alpha_bar = forward.alpha_bars[t].float()[:, None]
        return forward.target(
            x_0 := alpha_bar.sqrt() * deviation**2 / (alpha_bar * deviation**2 + 1 - alpha_bar) * x_t,
            forward.estimate_noise(x_0, x_t, t),
            t,
        )

    drawn = draw_samples(
        best_guess,
        forward,
        Sampling(method=method, num_steps=200),  # type: ignore[arg-type]
        shape=(20_000,),
        generators=[seeded_generator(7, "gaussian")],
        device=CPU,
        is_bounded=False,
    )
    assert drawn.frames.std().item() == pytest.approx(deviation, rel=0.05)


def test_frames_are_clipped_to_their_bounds_by_default():
    forward = process(prediction="x0")
    for clamps, expected in ((True, 1.0), (False, 3.0)):
        drawn = draw_samples(
            lambda x_t, t: torch.full_like(x_t, 3.0),
            forward,
            Sampling(num_steps=3, clamps_x0=clamps),
            shape=(2,),
            generators=[seeded_generator(8, "bounds")],
            device=CPU,
            is_bounded=True,
        )
        assert torch.allclose(drawn.frames, torch.full((1, 2), expected), atol=1e-5)


def test_a_sample_does_not_depend_on_the_others_in_its_batch():
    forward = process(prediction="x0")

    def draw(indices: list[int]) -> torch.Tensor:
        return draw_samples(
            lambda x_t, t: x_t * 0.5,
            forward,
            Sampling(method="ddpm", num_steps=5),
            shape=(3,),
            generators=[seeded_generator(9, "alone", index) for index in indices],
            device=CPU,
            is_bounded=True,
        ).frames

    assert torch.equal(draw([0, 1, 2])[1:], draw([1, 2]))
