"""The steps that an exported model's card writes down are those of the samplers."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.workloads.video_prediction.conftest import DATA, save_autoencoder, tiny_config, tiny_task
from trainables.workloads.video_prediction.export import ESTIMATES, UPDATES, VARIANCE
from trainables.workloads.video_prediction.task import VideoPredictionTask


class TorchNoise:
    """A generator of NumPy's form that draws what the samplers draw, frames of one sample."""

    def __init__(self, past: np.ndarray, seed: int) -> None:
        self._past, self._generator = past, torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, shape: tuple[int, ...]) -> np.ndarray:
        assert (low, high) == (-1, 1) and shape == self._past.shape
        return self._past

    def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
        return torch.randn(*shape[1:], generator=self._generator)[None].numpy()


def run_code(task: VideoPredictionTask, past: np.ndarray) -> np.ndarray:
    """Run the code of the card with the network itself."""
    spec = task.export_spec()
    assert spec.use_code is not None

    def network(*inputs: np.ndarray) -> np.ndarray:
        return task.module(*map(torch.from_numpy, inputs)).numpy()

    space: dict[str, Any] = {"np": np, "rng": TorchNoise(past, 3), "network": network}
    space["card"] = {"sampler": spec.sampler}
    exec(spec.use_code, space)
    return space["x_t"]


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize(
    "sampling",
    [{"method": "ddim"}, {"method": "ddim", "eta": 0.7}, {"method": "ddpm"}, {"clamps_x0": False}],
    ids=str,
)
def test_the_written_steps_draw_the_samplers_frames(prediction, sampling):
    config = tiny_config(
        diffusion={"num_timesteps": 20, "prediction": prediction},
        evaluation={"sampling": {"num_steps": 4, **sampling}},
    )
    task = tiny_task(config)
    task.module.eval().requires_grad_(False)
    past = torch.rand(1, 2, 1, 12, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = task.predictor.predict(task.module, past, [torch.Generator().manual_seed(3)]).frames.numpy()
    found = run_code(task, past.numpy())
    assert found.dtype == np.float32 and found.shape == (1, 3, 1, 12, 16)
    assert np.abs(found - expected).max() < 1e-4 * max(1, np.abs(expected).max())


def test_a_network_on_latents_says_that_the_autoencoder_is_missing(tmp_path):
    data = {**DATA, "height": 32, "width": 64, "channels": 3}
    config = tiny_config(data=data, latents={"weights": save_autoencoder(tmp_path / "vae")})
    spec = tiny_task(config).export_spec()
    assert "autoencoder of the training, which is not part of the export" in spec.preprocessing["frames"]
    assert spec.preprocessing["scale"] == 0.18215
    assert spec.graphs[0].inputs[2].shape[2:] == (4, 16, 32) and spec.graphs[0].inputs[2].range is None
    assert spec.sampler is not None and spec.sampler["step"] == [*ESTIMATES["v"], VARIANCE, *UPDATES["ddim"]]


def test_a_regression_is_called_once():
    task = tiny_task(tiny_config(network={"name": "simvp", "channels": 8, "hidden_channels": 16, "num_blocks": 1}))
    spec = task.export_spec()
    assert spec.sampler is None and spec.use_code is None
    assert [each.name for each in spec.graphs[0].inputs] == ["past"]
