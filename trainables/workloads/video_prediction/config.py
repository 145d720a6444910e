"""Settings of the video-prediction workload; torch-free, so that an experiment is checked in milliseconds."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config, InputPath
from data_pipelines.video.config import VideoData
from trainables.contract.perceptual_weights import PerceptualWeights
from trainables.contract.workload_config import Mode, WorkloadConfig
from trainables.workloads.video_prediction.network_config import AnyNetwork, DiT

LATENT_SIDE = 8
"""Pixels per latent of Stable Diffusion, along each side."""
MIN_I3D_FRAMES = 9
"""Three halvings in time, rounded up, must leave the two frames of the last pooling."""


class Diffusion(Config):
    """Settings of the forward process, and of the network's target."""

    num_timesteps: int = Field(default=1000, ge=2, le=10_000)
    """Steps of the forward process."""
    schedule: Literal["linear", "cosine"] = "cosine"
    """linear: beta from `beta_start` to `beta_end` (Ho et al. 2020); cosine: Nichol and Dhariwal 2021, eq. 17."""
    beta_start: float = Field(default=1e-4, gt=0, lt=1)
    """linear only."""
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    """linear only."""
    prediction: Literal["eps", "x0", "v"] = "v"
    """The network's target: the noise, the clean frames, or v = sqrt(ab) eps - sqrt(1 - ab) x0."""


class Sampling(Config):
    """Settings of the sampler."""

    method: Literal["ddim", "ddpm"] = "ddim"
    """DDIM (Song et al. 2021) or the ancestral sampler of DDPM (Ho et al. 2020)."""
    num_steps: int = Field(default=20, ge=1, le=10_000)
    """Network calls, at even distances from the last timestep to the first."""
    eta: float = Field(default=0.0, ge=0, le=1)
    """ddim only: share of the ancestral noise; 0 is deterministic, 1 has the variance of ddpm."""
    clamps_x0: bool = True
    """Keep every estimate of the clean frames within -1..1; in pixels only, latents have no such bounds."""


class Evaluation(Config):
    """Settings of the evaluation: windows at even distances in each clip of the split; all metrics on 0..1, clamped."""

    split: Literal["train", "val", "test"] = "test"
    """`train` shows whether a small set can be memorised."""
    windows_per_clip: int = Field(default=1, ge=1)
    """At even distances from the first window to the last that fits; fewer when a clip has fewer."""
    sampling: Sampling = Sampling()
    num_draws: int = Field(default=1, ge=1, le=1000)
    """Predictions of each window. Metrics are means over draws; `eval/best/...` is the best draw of each window."""
    rollout_frames: int | None = Field(default=None, ge=1, le=1000)
    """Predict this many future frames by feeding predictions back as past frames; null: those of the training."""
    num_shown: int = Field(default=10, ge=0, le=100)
    """First windows of the split that are drawn."""
    i3d_weights: InputPath | None = None
    """A file of the I3D network, for `eval/fvd`, which is absent without it: `i3d_torchscript.pt` of StyleGAN-V, or
    the state dict of a PyTorch port, with 400 classes."""
    perceptual: PerceptualWeights = PerceptualWeights()
    """With `lpips` or `dists` the metric is measured too, frame by frame."""

    @property
    def perceptual_metrics(self) -> tuple[str, ...]:
        """Perceptual metrics whose weights are given."""
        return tuple(name for name in ("lpips", "dists") if getattr(self.perceptual, name) is not None)


class Latents(Config):
    """Settings of prediction in latents of a frozen Stable-Diffusion autoencoder instead of pixels."""

    weights: InputPath | None = None
    """Folder of the autoencoder in diffusers' form, for example a copy of stabilityai/sd-vae-ft-mse; needed."""
    scale: float = Field(default=0.18215, gt=0)
    """Factor on the latents, so that their variance is about 1."""
    posterior: Literal["mean", "sample"] = "mean"
    """Latents of a training step: the mean or a sample of the autoencoder's posterior. Evaluations and pictures use the
    mean."""
    is_stored: bool = False
    """Encode the training split once, when data are prepared, instead of in every step; for frames that are not
    augmented. Its rows then hold latents only."""


class VideoPredictionConfig(WorkloadConfig):
    """Settings of the diffusion prediction of future frames from past ones."""

    name: Literal["video_prediction"] = "video_prediction"
    data: VideoData = VideoData()
    network: AnyNetwork = DiT()
    """The network, by its name."""
    latents: Latents | None = None
    """Null: predict pixels, which needs no weights."""
    diffusion: Diffusion = Diffusion()
    evaluation: Evaluation = Evaluation()
    animation: Literal["gif", "mp4"] = "gif"
    """Form of `eval/predictions_video`; mp4 needs `pip install quintet[video]`."""
    frames_per_s: float | None = Field(default=None, gt=0, le=100)
    """Frame rate of the animation; null: true to time where the rate of the clips is known, else 4."""

    evaluation_options: ClassVar[dict[str, str]] = {
        "split": "workload.evaluation.split",
        "windows-per-clip": "workload.evaluation.windows_per_clip",
        "method": "workload.evaluation.sampling.method",
        "steps": "workload.evaluation.sampling.num_steps",
        "eta": "workload.evaluation.sampling.eta",
        "draws": "workload.evaluation.num_draws",
        "rollout": "workload.evaluation.rollout_frames",
        "shown": "workload.evaluation.num_shown",
        "i3d-weights": "workload.evaluation.i3d_weights",
        "lpips-weights": "workload.evaluation.perceptual.lpips",
        "dists-weights": "workload.evaluation.perceptual.dists",
        "alexnet-weights": "workload.evaluation.perceptual.alexnet",
        "vgg16-weights": "workload.evaluation.perceptual.vgg16",
        "animation": "workload.animation",
    }
    metric_x_axes: ClassVar[dict[str, str | None]] = {"train/epoch_*": "epoch", "train/*": "step", "*": "epoch"}

    def check_inputs(self) -> None:
        """Raise ValueError unless the networks of the perceptual metrics can be read."""
        if self.evaluation.perceptual_metrics:
            import torch

            from trainables.metrics.images.perceptual import load_perceptual

            settings = self.evaluation
            load_perceptual(settings.perceptual_metrics, dict(settings.perceptual), torch.device("cpu"))

    @property
    def run_name_parts(self) -> tuple[str, ...]:
        """For example `video_prediction`, `frames`, `4to4`, `dit`, `XL/2`, `v`."""
        window = f"{self.data.num_past}to{self.data.num_future}"
        parts = (self.name, self.data.source, window, self.network.name, self.network.label.replace("/", "-"))
        return (*parts, self.diffusion.prediction) if isinstance(self.network, DiT) else parts

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """Mean squared error over all future frames, the other scores, those of the best draws, and FVD."""
        modes: dict[str, Mode] = {"mse": "min", "mae": "min", "psnr": "max", "ssim": "max"}
        known: dict[str, Mode] = {"eval/" + name: mode for name, mode in modes.items()}
        best: dict[str, Mode] = {"eval/best/" + name: mode for name, mode in modes.items()}
        fvd: dict[str, Mode] = {"eval/fvd": "min"}
        return known | best | fvd

    def animation_rate(self, clip_rate_hz: float | None) -> float:
        """Return the frames per second of an animation of windows, given those of the clips, if these are known."""
        own_hz = None if clip_rate_hz is None else clip_rate_hz / self.data.sample_interval
        return self.frames_per_s or own_hz or 4.0

    @property
    def num_predicted(self) -> int:
        """Future frames of an evaluated window."""
        return self.evaluation.rollout_frames or self.data.num_future

    @model_validator(mode="after")
    def _frames_divide(self) -> Self:
        divisor = self.network.divisor * (1 if self.latents is None else LATENT_SIDE)
        for name, length in (("height", self.data.height), ("width", self.data.width)):
            if length % divisor:
                raise ValueError(
                    f"`data.{name}` ({length}) must be a multiple of {divisor}, which `network` asks for; the nearest "
                    f"is {max(1, round(length / divisor)) * divisor}"
                )
        return self

    @model_validator(mode="after")
    def _latents_are_of_colours(self) -> Self:
        if self.latents is not None and self.data.num_channels != 3:
            raise ValueError(f"`data.channels` must be 3 with `latents`, but is {self.data.num_channels}")
        return self

    @model_validator(mode="after")
    def _stored_latents_are_fixed(self) -> Self:
        if self.latents is None or not self.latents.is_stored:
            return self
        if self.data.horizontal_flip or self.data.brightness:
            raise ValueError(
                "`data.horizontal_flip` and `data.brightness` change frames before they are encoded; with "
                "`latents.is_stored` set them to false and 0, or set `latents.is_stored` to false"
            )
        if self.evaluation.split == "train":
            raise ValueError(
                "`evaluation.split` is train, but with `latents.is_stored` the training split holds no frames to "
                "compare with; evaluate another split, or set `latents.is_stored` to false"
            )
        return self

    @model_validator(mode="after")
    def _clips_are_long_enough_for_i3d(self) -> Self:
        num_frames = self.data.num_past + self.num_predicted
        if self.evaluation.i3d_weights is not None and num_frames < MIN_I3D_FRAMES:
            raise ValueError(
                f"`evaluation.i3d_weights`: eval/fvd is of past and predicted frames together, here {num_frames}, and "
                f"its network needs {MIN_I3D_FRAMES}; set `evaluation.rollout_frames` to "
                f"{MIN_I3D_FRAMES - self.data.num_past} or more"
            )
        return self

    @model_validator(mode="after")
    def _sampling_fits_the_process(self) -> Self:
        if self.evaluation.sampling.num_steps > self.diffusion.num_timesteps:
            raise ValueError(
                f"`evaluation.sampling.num_steps` ({self.evaluation.sampling.num_steps}) must be at most "
                f"`diffusion.num_timesteps` ({self.diffusion.num_timesteps})"
            )
        return self
