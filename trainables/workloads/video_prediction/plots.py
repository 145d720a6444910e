"""Pictures and animations of past frames, ground truth and predictions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from trainables.contract.panels import ImagePanel, Panel, VideoPanel, zoom_of
from trainables.pictures.picture_grid import draw_grid
from trainables.workloads.video_prediction.bordered_frames import FUTURE, PAST, draw_frame, time_name
from trainables.workloads.video_prediction.config import VideoPredictionConfig

_BLANK = 255
_SIDE = 96
"""Smaller frames of the animation are enlarged to about this side."""


class Shown(NamedTuple):
    """One window and its prediction."""

    past: UInt8[Tensor, "past channels height width"]
    future: UInt8[Tensor, "future channels height width"]
    prediction: Float[Tensor, "future channels height width"]
    """Grey levels in 0..1."""


def draw_columns(shown: Shown, key: str = "train/visualization") -> ImagePanel:
    """Draw past frames and to their right the true future ones; below these the predicted ones."""
    blank = torch.full_like(shown.past, _BLANK)
    pictures = torch.cat([shown.past, shown.future, blank, to_8_bit(shown.prediction)])
    names = time_names(len(shown.past), len(shown.future))
    past, future = names[: len(shown.past)], names[len(shown.past) :]
    captions = [
        *past,
        *(f"truth {name}" for name in future),
        *[""] * len(past),
        *(f"predicted {name}" for name in future),
    ]
    return ImagePanel(
        key,
        pictures,
        captions,
        columns=len(names),
        zoom=zoom_of(pictures),
        row_names=("truth", "predicted"),
        column_names=names,
    )


def draw_predictions(samples: Sequence[Shown], config: VideoPredictionConfig, frames_per_s: float) -> list[Panel]:
    """Draw `eval/predictions` and `eval/predictions_video`.

    The first has one picture for each window, as `draw_columns` draws it; the second is an animation of truth beside
    prediction, in which the border of what is predicted is orange.
    """
    if not samples:
        return []
    key = "eval/predictions"
    pictures = torch.stack(
        [torch.from_numpy(draw_grid(draw_columns(shown, key))).permute(2, 0, 1) for shown in samples]
    )
    captions = [f"sample {number}: past and truth above prediction" for number in range(len(samples))]
    clips = torch.stack([draw_side_by_side(shown) for shown in samples])
    titles = [f"sample {number}: truth beside prediction (orange)" for number in range(len(samples))]
    return [
        ImagePanel(key, pictures, captions, columns=1),
        VideoPanel("eval/predictions_video", clips, frames_per_s, titles, columns=5, form=config.animation),
    ]


def draw_side_by_side(shown: Shown) -> UInt8[Tensor, "time 3 tall wide"]:
    """Draw each frame twice: the past in grey borders, then truth in grey beside prediction in orange."""
    names = time_names(len(shown.past), len(shown.future))
    truth = torch.cat([shown.past, shown.future])
    prediction = torch.cat([shown.past, to_8_bit(shown.prediction)])
    colours = [PAST] * len(shown.past) + [FUTURE] * len(shown.future)
    frames = [
        np.concatenate([_bordered(true, name, PAST), _bordered(predicted, name, colour)], axis=1)
        for true, predicted, name, colour in zip(truth, prediction, names, colours, strict=True)
    ]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def time_names(num_past: int, num_future: int) -> list[str]:
    """Return `t-1`, `t`, `t+1` and so on; `t` is the last past frame."""
    return [time_name(place) for place in range(1 - num_past, num_future + 1)]


def to_8_bit(frames: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Convert 0..1 to 0..255, rounded."""
    return (frames.clamp(0, 1) * 255).round().to(torch.uint8)


def _bordered(frame: UInt8[Tensor, "channels height width"], name: str, colour: tuple[int, int, int]) -> np.ndarray:
    return draw_frame(frame.permute(1, 2, 0).cpu().numpy(), name, colour, side=_SIDE)
