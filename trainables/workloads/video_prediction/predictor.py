"""Future frames of new clips, by a trained network; what has not happened yet can be predicted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from data_pipelines.readers.any_image import to_picture
from data_pipelines.readers.image_file import fit_image
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.storage.folder import Folder
from trainables.contract.prediction import Input, Prediction, Row
from trainables.contract.predictor import Predictor, SavedModel
from trainables.contract.seeding import seeded_generator
from trainables.pictures.animation import encode_gif, encode_mp4
from trainables.pictures.picture_grid import encode_png
from trainables.workloads.video_prediction.bordered_frames import FUTURE, PAST, draw_frame, time_name
from trainables.workloads.video_prediction.clip_inputs import SUFFIXES, ClipFrames, choose_of, find_clips, read_clip
from trainables.workloads.video_prediction.config import VideoPredictionConfig
from trainables.workloads.video_prediction.diffusion.predictors import rollout
from trainables.workloads.video_prediction.plots import to_8_bit
from trainables.workloads.video_prediction.prediction_options import VideoOptions, check_options, choose_past
from trainables.workloads.video_prediction.task import VideoPredictionTask, build_predictor

_SIDE = 192
"""Smaller pictures are enlarged to about this side."""


@dataclass(frozen=True)
class PredictedClip:
    """Futures of one clip, in the size and colours of the model."""

    name: str
    past: np.ndarray
    """The frames that were predicted from, uint8 [past, height, width, channels]."""
    past_places: tuple[int, ...]
    """Their places in the clip, counted from 0."""
    future: np.ndarray
    """uint8 [draws, future, height, width, channels]."""
    rate_hz: float | None
    """Frames per second of both; None: unknown."""
    nfe: int
    """Network calls for each draw."""


class VideoPredictionPredictor(Predictor[VideoOptions]):
    """Prediction of the frames after the last ones of a clip."""

    options_class = VideoOptions
    suffixes = SUFFIXES
    page_options = {"formats": ["gif"]}
    task: VideoPredictionTask

    def __init__(self, task: Any, model: SavedModel, options: VideoOptions, device: torch.device) -> None:
        """Keep the task. Raises ValueError for options that the model does not have."""
        super().__init__(task, model, options, device)
        self._config = _config_of(model)
        sampling = check_options(self._config, options)
        self._method = build_predictor(self._config, self.task.space, sampling)
        spec = model.data_spec
        self._shape = ImageShape(spec["channels"], spec["height"], spec["width"])

    @classmethod
    def find_inputs(cls, model: SavedModel, source: Folder | None, options: Any) -> list[Input]:
        """Return the clips: video files, and folders that hold frames. Raises ValueError when there is none."""
        check_options(_config_of(model), options)
        return find_clips(source)

    def predict_input(self, item: Input) -> Prediction:
        """Return a row and files for each draw."""
        clip = self._predict(item.name, self._read(item))
        rate_hz = self.options.fps or clip.rate_hz or self._config.animation_rate(None)
        rows: list[Row] = []
        files: dict[str, bytes] = {}
        for draw, future in enumerate(clip.future):
            folder = f"{clip.name}/draw_{draw}"
            files |= encode_future(folder, clip.past, future, formats=self.options.formats, frames_per_s=rate_hz)
            rows.append(
                {
                    "draw": draw,
                    "seed": self.options.seed,
                    "num_past": len(clip.past),
                    "first_past_frame": clip.past_places[0],
                    "last_past_frame": clip.past_places[-1],
                    "sample_interval": self._config.data.sample_interval,
                    "num_predicted": len(future),
                    "nfe": clip.nfe,
                    "files": folder,
                }
            )
        return Prediction(rows, files)

    @torch.inference_mode()
    def predict(self, clips: Sequence[Any]) -> list[PredictedClip]:
        """Predict the future of clips; returns a prediction for each clip, of a folder of clips several.

        Clips are paths or URIs of video files and folders of frames, arrays [time, height, width, channels], or tensors
        [time, channels, height, width]. Whole numbers are grey levels from 0 to 255, floating ones lie from 0 to 1. A
        clip without a path is called by its place, `clip_0`.

        Raises:
            ValueError: Something is no clip, or has too few frames.
        """
        predicted: list[PredictedClip] = []
        for place, clip in enumerate(clips):
            if isinstance(clip, str | Path):
                items = find_clips(Folder(str(clip)))
                predicted += [self._predict(item.name, self._read(item)) for item in items]
            else:
                predicted.append(self._predict(f"clip_{place}", self._take_frames(f"clip_{place}", clip)))
        return predicted

    def _read(self, item: Input) -> ClipFrames:
        return read_clip(item, self._shape, self._choose_past, self._config.data.frames_per_s)

    def _take_frames(self, name: str, clip: Any) -> ClipFrames:
        if getattr(clip, "ndim", None) != 4:
            raise ValueError(
                f"{name}: a clip of the shape {list(np.shape(clip))}; expected [time, height, width, channels], or as "
                "a tensor [time, channels, height, width]"
            )
        places = tuple(choose_of(Path(name), len(clip), self._choose_past))
        frames = np.stack([fit_image(to_picture(clip[place]), self._shape) for place in places])
        return ClipFrames(frames, places, None)

    def _choose_past(self, num_frames: int) -> Sequence[int]:
        return choose_past(num_frames, self._config.data, self.options.start)

    def _predict(self, name: str, clip: ClipFrames) -> PredictedClip:
        """Predict each draw by itself, so that it does not depend on their number."""
        past = torch.from_numpy(clip.frames)[None]
        encoded = self.task.space.encode(past.to(self.device))
        num_frames = self.options.horizon or self._config.data.num_future
        futures: list[np.ndarray] = []
        nfe = 0
        for draw in range(self.options.draws):
            generator = seeded_generator(self.options.seed, f"future of {name}", draw)
            prediction = rollout(self._method, self.task.module, encoded, num_frames, [generator])
            nfe = prediction.nfe
            futures.append(_to_pixels(self.task.space.decode(prediction.frames)[0], name))
        interval = self._config.data.sample_interval
        rate_hz = None if clip.rate_hz is None else clip.rate_hz / interval
        return PredictedClip(name, _channels_last(past[0]), clip.places, np.stack(futures), rate_hz, nfe)


def _config_of(model: SavedModel) -> VideoPredictionConfig:
    assert isinstance(model.workload, VideoPredictionConfig)
    return model.workload


def _to_pixels(frames: Float[Tensor, "time channels height width"], name: str) -> np.ndarray:
    if not frames.isfinite().all():
        raise ValueError(f"{name}: the model predicts values that are not finite; take another model version")
    return _channels_last(to_8_bit(frames))


def _channels_last(frames: UInt8[Tensor, "time channels height width"]) -> np.ndarray:
    return frames.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def encode_future(
    folder: str, past: np.ndarray, future: np.ndarray, *, formats: Collection[str], frames_per_s: float
) -> dict[str, bytes]:
    """Return the content of the files of one draw, by name.

    `past` and `future` are uint8 [frames, height, width, channels], and `formats` any of `png`, `gif` and `mp4`.
    """
    files: dict[str, bytes] = {}
    if "png" in formats:
        width = len(str(len(future)))
        files = {f"{folder}/frame_t+{step:0{width}d}.png": encode_png(frame) for step, frame in enumerate(future, 1)}
    frames = draw_animation(past, future) if {"gif", "mp4"} & set(formats) else []
    if "gif" in formats:
        files[f"{folder}/prediction.gif"] = encode_gif(frames, frames_per_s)
    if "mp4" in formats:
        files[f"{folder}/prediction.mp4"] = encode_mp4(frames, frames_per_s)
    return files


def draw_animation(past: np.ndarray, future: np.ndarray) -> list[np.ndarray]:
    """Draw past, then future: grey around past frames, orange around predicted ones, and the time below each.

    `past` and `future` are uint8 [frames, height, width, 1 or 3], the frames drawn uint8 [height, width, 3] each.
    """
    last = len(past) - 1
    drawn = [draw_frame(picture, time_name(place - last), PAST, side=_SIDE) for place, picture in enumerate(past)]
    return [
        *drawn,
        *(draw_frame(each, f"{time_name(step)} predicted", FUTURE, side=_SIDE) for step, each in enumerate(future, 1)),
    ]
