"""Picture of a judged recording: its trace with the cycles, and the probabilities of each cycle below."""

import numpy as np
import torch

from data_pipelines.heart_sounds.analysis import Analysis
from trainables.pictures.line_charts import Curve, draw_chart
from trainables.pictures.picture_grid import encode_png
from trainables.workloads.heart_sound.finetune.inference.answers import RecordingAnswer

WIDTH = 1200
NAME_LENGTH = 40
"""Characters of the name that fit beside the verdict."""
AMPLITUDE = "amplitude (standard deviations)"
_NUM_COLUMNS = 1100
"""Columns of the trace; each shows the smallest and the largest value that it stands for."""
_MOST_MARKERS = 60


def draw_recording(analysis: Analysis, answer: RecordingAnswer) -> bytes:
    """Return a PNG: the trace with the bounds of the cycles, the probabilities of each class by cycle, the verdict."""
    bounds = sorted({time for cycle in answer.cycles for time in (cycle.start_s, cycle.end_s)})
    trace = Curve(f"filtered sound: {_describe(answer)}", _outline(analysis))
    name = answer.name if len(answer.name) <= NAME_LENGTH else f"...{answer.name[-NAME_LENGTH:]}"
    title = f"{name}: {_verdict(answer)}"
    pictures = [draw_chart(title, "time (s)", AMPLITUDE, [trace], width=WIDTH, marks=bounds)]
    curves = _probability_curves(answer)
    if curves:
        frame = Curve("", [(0.0, 1.0), (0.0, 0.0), (analysis.duration_s, 0.0)], colour="none")
        pictures.append(
            draw_chart(
                "by cycle, which are between the thin lines",
                "time (s)",
                "probability",
                [*curves, frame],
                width=WIDTH,
                marks=bounds,
            )
        )
    pixels = torch.cat(pictures, dim=1).permute(1, 2, 0).numpy()
    return encode_png(pixels)


def _verdict(answer: RecordingAnswer) -> str:
    if answer.answer is None:
        return f"no verdict ({answer.reason})"
    return f"{answer.answer} ({answer.probabilities[answer.answer]:.0%})"


def _describe(answer: RecordingAnswer) -> str:
    rate = "" if answer.heart_rate_bpm is None else f", {answer.heart_rate_bpm:.0f} beats per minute"
    return f"{len(answer.cycles)} cycles{rate}, signal quality {answer.signal_quality:.2f}"


def _outline(analysis: Analysis) -> list[tuple[float, float]]:
    """Return the trace as points that go from the smallest to the largest value of each column."""
    size = max(len(analysis.samples) // _NUM_COLUMNS, 1)
    starts = np.arange(0, len(analysis.samples), size)
    lows, highs = (ufunc.reduceat(analysis.samples, starts) for ufunc in (np.minimum, np.maximum))
    times = starts / analysis.rate
    points = zip(times.tolist(), lows.tolist(), highs.tolist(), strict=True)
    return [point for time, low, high in points for point in ((time, low), (time, high))]


def _probability_curves(answer: RecordingAnswer) -> list[Curve]:
    """Return a curve for each class, with a point in the middle of each cycle; none without a verdict."""
    has_markers = len(answer.cycles) <= _MOST_MARKERS
    middles = [(cycle.start_s + cycle.end_s) / 2 for cycle in answer.cycles]
    return [
        Curve(
            name,
            [(time, each.probabilities[name]) for time, each in zip(middles, answer.cycles, strict=True)],
            has_markers,
        )
        for name in answer.probabilities
    ]
