"""Settings of a prediction of future frames, and what they mean for a model and a clip."""

from typing import Literal

from pydantic import Field

from data_pipelines.readers.pyav import import_av
from data_pipelines.video.config import VideoData
from trainables.contract.predictor import PredictionOptions
from trainables.workloads.video_prediction.config import Sampling, VideoPredictionConfig
from trainables.workloads.video_prediction.network_config import DiT


class VideoOptions(PredictionOptions):
    """Settings of a prediction of future frames."""

    start: int | None = Field(default=None, ge=1)
    """Frames before this one, counted from 0, are the past; by default all of a clip."""
    draws: int = Field(default=1, ge=1, le=1000)
    """Futures of each clip; more than one only by diffusion."""
    horizon: int | None = Field(default=None, ge=1, le=10_000)
    """Future frames; by default those that the model predicts at once. For more, predictions are fed back as past
    frames."""
    seed: int = Field(default=0, ge=0)
    """Draws follow from it, from the clip's name and from the number of the draw."""
    method: Literal["ddim", "ddpm"] | None = None
    """Sampler; by default that of the training's evaluations, as with `steps` and `eta`."""
    steps: int | None = Field(default=None, ge=1)
    """Network calls of the sampler for each block of frames."""
    eta: float | None = Field(default=None, ge=0, le=1)
    """Of ddim: 0 adds no noise on the way, 1 as much as ddpm."""
    formats: tuple[Literal["png", "gif", "mp4"], ...] = Field(default=("png", "gif"), min_length=1)
    """Files: png, one for each future frame; gif and mp4, past and future as an animation."""
    fps: float | None = Field(default=None, gt=0, le=1000)
    """Frames per second of the animations; by default true to time where a clip's rate is known, else
    `frames_per_s` of the training."""


def choose_past(num_frames: int, data: VideoData, start: int | None) -> range:
    """Return the places of the past frames in a clip.

    `start` is the place behind the last of them; None: the clip's end.

    Raises:
        ValueError: There are too few frames.
    """
    if start is not None and start > num_frames:
        raise ValueError(f"has {num_frames} frames, so --start {start} is behind its end; give at most {num_frames}")
    stop = num_frames if start is None else start
    needed = data.frames_of(data.num_past)
    if stop < needed:
        where = "" if start is None else f" before --start {start}"
        frames = f"{data.num_past} past frames"
        if data.sample_interval > 1:
            frames += f" at sample_interval {data.sample_interval}, of {needed} in all"
        advice = "give a longer clip" if start is None else "give a longer clip or a later --start"
        raise ValueError(f"has {stop} frames{where}; the model predicts from {frames}; {advice}")
    return range(stop - needed, stop, data.sample_interval)


def check_options(config: VideoPredictionConfig, options: VideoOptions) -> Sampling:
    """Return the sampler's settings. Raises ValueError for options that the model or this machine does not have."""
    if "mp4" in options.formats:
        import_av()
    given = {"method": options.method, "num_steps": options.steps, "eta": options.eta}
    given = {name: value for name, value in given.items() if value is not None}
    if not isinstance(config.network, DiT):
        if options.draws > 1:
            raise ValueError(
                f"--draws {options.draws}: the network {config.network.name} predicts one future, the same every time; "
                "leave it 1"
            )
        if given:
            name = next(iter(given)).removeprefix("num_")
            raise ValueError(f"--{name}: the network {config.network.name} has no sampler; leave it out")
    sampling = config.evaluation.sampling.model_copy(update=given)
    if sampling.num_steps > config.diffusion.num_timesteps:
        raise ValueError(f"--steps {sampling.num_steps} is more than the model's {config.diffusion.num_timesteps}")
    if options.eta is not None and sampling.method != "ddim":
        raise ValueError(f"--eta is of ddim only, and the method is {sampling.method}; leave it out")
    return sampling
