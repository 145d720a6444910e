"""The video-prediction task: trains the prediction of future frames, and evaluates and draws predictions."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import DataSpec
from data_pipelines.contract.row_draws import TorchDraws
from data_pipelines.readers.pyav import import_av
from data_pipelines.video.batch import WindowBatch
from trainables.contract.export import ExportSpec
from trainables.contract.panels import Panel
from trainables.contract.task import LossOutput, Task
from trainables.contract.train_context import Collectives, Progress, StartContext
from trainables.metrics.generative.fvd import ClipFeatures
from trainables.metrics.images.perceptual import load_perceptual
from trainables.workloads.video_prediction.config import Sampling, VideoPredictionConfig
from trainables.workloads.video_prediction.diffusion.predictors import (
    DiffusionPredictor,
    Predictor,
    RegressionPredictor,
)
from trainables.workloads.video_prediction.evaluator import WindowEvaluator
from trainables.workloads.video_prediction.export import describe_network
from trainables.workloads.video_prediction.network_config import SIZES, DiT
from trainables.workloads.video_prediction.networks.dit import DitBlock, VideoDiT
from trainables.workloads.video_prediction.networks.simvp import SimVP, TranslatorBlock
from trainables.workloads.video_prediction.plots import Shown, draw_columns
from trainables.workloads.video_prediction.spaces.frame_spaces import PixelSpace, Space
from trainables.workloads.video_prediction.windows import Window, cut_even_windows, noise_of

logger = logging.getLogger(__name__)


class VideoPredictionTask(Task[Any]):
    """Task whose training batches are windows; evaluated batches are complete clips."""

    weights_stream = "video-prediction network"
    block_types = (DitBlock, TranslatorBlock)

    def __init__(self, config: VideoPredictionConfig, data_spec: DataSpec, seed: int) -> None:
        self.config, self.seed, self._data_spec = config, seed, data_spec
        self.space = _build_space(config, data_spec)
        self.module = _build_network(config, self.space)
        self.predictor = build_predictor(config, self.space, config.evaluation.sampling)
        self._drawn: Window | None = None
        self._reads_latents = config.latents is not None and config.latents.is_stored
        self._features: ClipFeatures | None = None
        self._perceptual: dict[str, nn.Module] | None = None
        if config.animation == "mp4":
            import_av()

    def loss(self, module: nn.Module, batch: WindowBatch, *, draws: TorchDraws) -> LossOutput:
        """Compute the predictor's loss on encoded frames."""
        past, future = batch["past"], batch["future"]
        if not self._reads_latents:
            past, future = self.space.encode(past, draws), self.space.encode(future, draws)
        return LossOutput(self.predictor.loss(module, past, future, draws=draws))

    def on_train_start(self, start: StartContext) -> None:
        """Choose the window to draw: the first of the evaluated split."""
        self._warn()
        data = self.config.data
        own = torch.zeros(
            0, data.num_past + data.num_future, *_frame_shape(self.config), dtype=torch.uint8, device=start.device
        )
        for batch in start.batches(self.config.evaluation.split):
            window = cut_even_windows(
                batch, num_past=data.num_past, num_future=data.num_future, stride=data.sample_interval, per_clip=1
            )
            own = torch.cat([window.past, window.future], dim=1)[:1]
            break
        frames = start.collectives.gather(own)[:1].cpu()
        self._drawn = Window(frames[:, : data.num_past], frames[:, data.num_past :])

    def _warn(self) -> None:
        config, network = self.config, self.config.network
        if config.evaluation.i3d_weights is None:
            logger.warning("eval/fvd is left out: it needs `workload.evaluation.i3d_weights`, a file of I3D's weights")
        if not isinstance(network, DiT) or config.diffusion.prediction == "x0":
            return
        num_values, hidden_dim = self.space.channels * network.patch_size**2, SIZES[network.size].hidden_dim
        if num_values > hidden_dim:
            logger.warning(
                "a token stands for %d values and has %d dimensions: noise, which `diffusion.prediction: %s` asks the "
                "network for, does not pass through it and stays in the samples; take x0, a smaller "
                "`network.patch_size` or a larger `network.size`",
                num_values,
                hidden_dim,
                config.diffusion.prediction,
            )

    def evaluator(self, collectives: Collectives, device: torch.device) -> WindowEvaluator:
        """Build an evaluator over the windows of the evaluated split."""
        return WindowEvaluator(
            self.config,
            self.space,
            self.predictor,
            features=self._clip_features(device),
            perceptual=self._perceptual_networks(device),
            seed=self.seed,
            frames_per_s=self.config.animation_rate(self._data_spec.get("rate_hz")),
            collectives=collectives,
            device=device,
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return one window: noise, timestep and past for diffusion, else the past alone."""
        frame = (self.space.channels, self.space.height, self.space.width)
        past = torch.zeros(1, self.config.data.num_past, *frame)
        if not isinstance(self.config.network, DiT):
            return (past,)
        return torch.zeros(1, self.config.data.num_future, *frame), torch.zeros(1, dtype=torch.int64), past

    def export_spec(self) -> ExportSpec:
        """Describe the network, and how a diffusion is stepped."""
        return describe_network(self.module, self.config, self.space, self._data_spec)

    def visualise(self, module: nn.Module, batch: Any, progress: Progress, device: torch.device) -> Sequence[Panel]:
        """Draw the prediction of the same window from the same noise every time."""
        if self._drawn is None:
            raise ValueError("the window that is drawn is missing: it is chosen when a run begins")
        past = self._drawn.past.to(device)
        prediction = self.predictor.predict(module, self.space.encode(past), noise_of(past, self.seed, 0))
        frames = self.space.decode(prediction.frames).cpu()
        return [draw_columns(Shown(self._drawn.past[0], self._drawn.future[0], frames[0]))]

    def _perceptual_networks(self, device: torch.device) -> dict[str, nn.Module]:
        if self._perceptual is None:
            settings = self.config.evaluation
            self._perceptual = load_perceptual(settings.perceptual_metrics, dict(settings.perceptual), device)
        return self._perceptual

    def _clip_features(self, device: torch.device) -> ClipFeatures | None:
        weights = self.config.evaluation.i3d_weights
        if self._features is None and weights is not None:
            from trainables.metrics.generative.i3d import I3dFeatures

            self._features = I3dFeatures(weights).to(device)
        return self._features

    def state_dict(self) -> dict[str, Any]:
        """Return the window to draw."""
        return {} if self._drawn is None else {"past": self._drawn.past, "future": self._drawn.future}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        self._drawn = Window(state["past"], state["future"]) if state else None


def build_predictor(config: VideoPredictionConfig, space: Space, sampling: Sampling) -> Predictor:
    """Build the predictor by diffusion, or by regression, which samples nothing."""
    if not isinstance(config.network, DiT):
        return RegressionPredictor()
    return DiffusionPredictor(
        config.diffusion, sampling, num_future=config.data.num_future, is_bounded=space.is_bounded
    )


def _build_space(config: VideoPredictionConfig, data_spec: DataSpec) -> Space:
    if config.latents is None:
        return PixelSpace(data_spec["channels"], data_spec["height"], data_spec["width"])
    from trainables.workloads.video_prediction.spaces.latents import LatentSpace

    return LatentSpace(config.latents, height=data_spec["height"], width=data_spec["width"])


def _build_network(config: VideoPredictionConfig, space: Space) -> nn.Module:
    data, network = config.data, config.network
    if isinstance(network, DiT):
        return VideoDiT(
            network, channels=space.channels, height=space.height, width=space.width, num_future=data.num_future
        )
    return SimVP(network, channels=space.channels, num_past=data.num_past, num_future=data.num_future)


def _frame_shape(config: VideoPredictionConfig) -> tuple[int, int, int]:
    return config.data.num_channels, config.data.height, config.data.width
