"""Pictures and animations of past frames, ground truth and predictions."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from trainables.contract.panels import ImagePanel, Panel, VideoPanel, zoom_of
from trainables.workloads.video_prediction.config import VideoPredictionConfig

_BLANK = 255


class Shown(NamedTuple):
    """One window and its prediction."""

    past: UInt8[Tensor, "past channels height width"]
    future: UInt8[Tensor, "future channels height width"]
    prediction: Float[Tensor, "future channels height width"]
    """Grey levels in 0..1."""


def draw_columns(shown: Shown) -> ImagePanel:
    """Draw `train/visualization`: past frames, then one column for each future frame, truth above prediction."""
    blank = torch.full_like(shown.past, _BLANK)
    pictures = torch.cat([shown.past, shown.future, blank, to_8_bit(shown.prediction)])
    columns = len(shown.past) + len(shown.future)
    past = [
        f"t{place - len(shown.past) + 1:+d}" if place + 1 < len(shown.past) else "t" for place in range(len(shown.past))
    ]
    future = [f"t+{place}" for place in range(1, len(shown.future) + 1)]
    captions = [
        *past,
        *(f"truth {name}" for name in future),
        *[""] * len(past),
        *(f"predicted {name}" for name in future),
    ]
    return ImagePanel("train/visualization", pictures, captions, columns=columns, zoom=zoom_of(pictures))


def draw_predictions(samples: Sequence[Shown], config: VideoPredictionConfig) -> list[Panel]:
    """Draw `eval/predictions` and `eval/predictions_video`.

    The first has one picture for each window with the rows past, truth and prediction; the second is an animation of
    truth beside prediction.
    """
    if not samples:
        return []
    pictures = torch.stack([stack_rows(shown) for shown in samples])
    captions = [f"sample {number}: past, truth, prediction" for number in range(len(samples))]
    clips = torch.stack([side_by_side(shown) for shown in samples])
    zoom = zoom_of(samples[0].past)
    titles = [f"sample {number}: truth, prediction" for number in range(len(samples))]
    return [
        ImagePanel("eval/predictions", pictures, captions, columns=2, zoom=zoom),
        VideoPanel(
            "eval/predictions_video",
            clips,
            config.frames_per_s,
            titles,
            columns=5,
            zoom=zoom,
            form=config.animation,
        ),
    ]


def stack_rows(shown: Shown) -> UInt8[Tensor, "channels tall wide"]:
    """Stack three rows of frames; rows shorter than the longest end in white."""
    length = max(len(shown.past), len(shown.future))
    rows = [shown.past, shown.future, to_8_bit(shown.prediction)]
    filled = [torch.cat([row, torch.full_like(row[:1], _BLANK).repeat(length - len(row), 1, 1, 1)]) for row in rows]
    return torch.cat([torch.cat(list(row), dim=-1) for row in filled], dim=-2)


def side_by_side(shown: Shown) -> UInt8[Tensor, "time channels height wide"]:
    """Join the past twice, then truth beside prediction."""
    truth = torch.cat([shown.past, shown.future])
    prediction = torch.cat([shown.past, to_8_bit(shown.prediction)])
    return torch.cat([truth, prediction], dim=-1)


def to_8_bit(frames: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """Convert 0..1 to 0..255, rounded."""
    return (frames.clamp(0, 1) * 255).round().to(torch.uint8)
