"""Pictures of heart cycles: the waveform above its spectrogram."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from trainables.contract.panels import ImagePanel

WIDTH, WAVE_HEIGHT, SPECTRUM_HEIGHT = 240, 80, 80
INK = (31, 90, 180)
FLOOR_DB = -50.0
NUM_WINDOWS = 32
SHOWN_HZ = 500
"""Highest shown frequency; heart sounds fill the lowest 400 Hz."""


def draw_cycles(
    key: str, signal: Float[Tensor, "count samples"], duration_s: Float[Tensor, " count"], captions: list[str]
) -> ImagePanel:
    """Draw one picture for each row.

    `duration_s`, that of each cycle, is for the frequency axis.
    """
    rows = zip(signal.float().numpy(), duration_s.tolist(), strict=True)
    return ImagePanel(key, torch.stack([_draw(*row) for row in rows]), captions, columns=2)


def _draw(values: np.ndarray, duration_s: float) -> UInt8[Tensor, "3 height width"]:
    canvas = Image.new("RGB", (WIDTH, WAVE_HEIGHT + SPECTRUM_HEIGHT), (255, 255, 255))
    peak = max(float(np.abs(values).max()), 1e-8)
    middle = (WAVE_HEIGHT - 1) / 2
    x = np.linspace(0, WIDTH - 1, len(values))
    points = zip(x, middle - values / peak * (middle - 2), strict=True)
    ImageDraw.Draw(canvas).line([(float(a), float(b)) for a, b in points], INK)
    spectrum = Image.fromarray(spectrogram(values, duration_s)).resize((WIDTH, SPECTRUM_HEIGHT))
    canvas.paste(spectrum.convert("RGB"), (0, WAVE_HEIGHT))
    return torch.from_numpy(np.asarray(canvas).copy()).permute(2, 0, 1)


def spectrogram(values: np.ndarray, duration_s: float) -> np.ndarray:
    """Compute uint8 [frequency, time] up to `SHOWN_HZ`, high frequencies on top.

    White is loudest, black 50 dB lower.
    """
    width = max(len(values) // NUM_WINDOWS * 2, 8)
    starts = np.linspace(0, len(values) - width, 2 * NUM_WINDOWS).astype(int)
    frames = np.stack([values[start : start + width] for start in starts]) * np.hanning(width)
    power = np.square(np.abs(np.fft.rfft(frames, n=4 * width)))
    shown = SHOWN_HZ / (len(values) / duration_s / 2)
    power = power[:, : max(round(shown * power.shape[1]), 4)]
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 1e-20))
    return (255 * (1 - np.maximum(decibels, FLOOR_DB) / FLOOR_DB)).astype(np.uint8).T[::-1]
