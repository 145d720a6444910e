"""Predictors of future frames, by diffusion or by regression: training loss and prediction."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_pipelines.contract.row_draws import TorchDraws
from trainables.workloads.video_prediction.config import Diffusion, Sampling
from trainables.workloads.video_prediction.diffusion.process import Process
from trainables.workloads.video_prediction.diffusion.sampling import Prediction, draw_samples


class Predictor(Protocol):
    """Method that trains on and predicts a block of future frames."""

    def loss(self, module: nn.Module, past: Tensor, future: Tensor, *, draws: TorchDraws) -> Tensor:
        """Compute the scalar training loss of a block of future frames; past and future are encoded."""
        ...

    def predict(self, module: nn.Module, past: Tensor, generators: Sequence[torch.Generator]) -> Prediction:
        """Predict the block after the encoded `past`; sample i takes its noise from generator i."""
        ...


class DiffusionPredictor:
    """Predictor by diffusion; all future frames of a sample share one timestep, as they are denoised together."""

    def __init__(self, diffusion: Diffusion, sampling: Sampling, *, num_future: int, is_bounded: bool) -> None:
        self.process = Process(diffusion)
        self._sampling, self._num_future, self._is_bounded = sampling, num_future, is_bounded

    def loss(self, module: nn.Module, past: Tensor, future: Tensor, *, draws: TorchDraws) -> Tensor:
        """Compute the mean squared error of the target at uniform timesteps (Ho et al. 2020, eq. 14)."""
        t, eps = draws.integers(self.process.num_timesteps), draws.normal(*future.shape[1:])
        output = module(self.process.add_noise(future, eps, t), t, past)
        return functional.mse_loss(output.float(), self.process.target(future, eps, t))

    def predict(self, module: nn.Module, past: Tensor, generators: Sequence[torch.Generator]) -> Prediction:
        """Predict by the settings' sampler."""
        return draw_samples(
            lambda x_t, t: module(x_t, t, past),
            self.process,
            self._sampling,
            shape=(self._num_future, *past.shape[2:]),
            generators=generators,
            device=past.device,
            is_bounded=self._is_bounded,
        )


class RegressionPredictor:
    """Predictor by one call of the network; no noise, so all draws are equal."""

    def loss(self, module: nn.Module, past: Tensor, future: Tensor, *, draws: TorchDraws) -> Tensor:
        """Compute the mean squared error of the frames."""
        return functional.mse_loss(module(past).float(), future)

    def predict(self, module: nn.Module, past: Tensor, generators: Sequence[torch.Generator]) -> Prediction:
        """Predict; the generators are not used."""
        return Prediction(module(past), 1)


def rollout(
    predictor: Predictor, module: nn.Module, past: Tensor, num_frames: int, generators: Sequence[torch.Generator]
) -> Prediction:
    """Predict blocks, each with the last frames before it as its past, until there are `num_frames`.

    `past` is encoded, and each sample has a generator.
    """
    known, num_past, nfe = past, past.shape[1], 0
    while known.shape[1] < num_past + num_frames:
        block = predictor.predict(module, known[:, -num_past:], generators)
        known, nfe = torch.cat([known, block.frames.to(known.dtype)], dim=1), nfe + block.nfe
    return Prediction(known[:, num_past : num_past + num_frames], nfe)
