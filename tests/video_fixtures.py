"""Small clips in the layouts that users have on disk, made by code."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def save_frames(
    folder: Path, numbers: range, *, width: int = 20, height: int = 16, pattern: str = "{:05d}.png"
) -> None:
    """Grey frames whose level is their number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.full((height, width, 3), number, np.uint8)
        Image.fromarray(pixels).save(folder / pattern.format(number))


def save_video(path: Path, count: int) -> None:
    """Grey frames of level 10 * place, 48x32, in a lossless codec."""
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "bgr0"
        for place in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 10 * place, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def save_sound(path: Path) -> None:
    """A file with sound alone."""
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
