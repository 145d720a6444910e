"""Clips side by side as an animation: a GIF that repeats, or an MP4."""

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from PIL import Image

from data_pipelines.readers.pyav import import_av


def encode_gif(frames: Sequence[np.ndarray], frames_per_s: float) -> bytes:
    """Encode frames, uint8 [height, width, 1 or 3] each, as a GIF that repeats; at most 256 colours.

    GIF counts in hundredths of a second, and viewers slow down what is shorter than two, so that is the least.
    """
    first, *others = [Image.fromarray(frame.squeeze(2) if frame.shape[2] == 1 else frame) for frame in frames]
    stream = io.BytesIO()
    duration_ms = 10 * max(2, round(100 / frames_per_s))
    first.save(stream, format="GIF", save_all=True, append_images=others, duration=duration_ms, loop=0)
    return stream.getvalue()


def encode_mp4(frames: Sequence[np.ndarray], frames_per_s: float) -> bytes:
    """Encode frames, uint8 [height, width, 1 or 3] each, as an H.264 MP4; an odd side gets one more white line.

    Raises ValueError without PyAV.
    """
    av = import_av()
    height, width = frames[0].shape[:2]
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=Fraction(frames_per_s).limit_denominator(1000))
        video.height, video.width, video.pix_fmt = height + height % 2, width + width % 2, "yuv420p"
        video.options = {"crf": "12"}  # nearly lossless: small pictures are viewed enlarged
        for frame in frames:
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=255)
            colours = np.ascontiguousarray(np.broadcast_to(even, (*even.shape[:2], 3)))
            container.mux(video.encode(av.VideoFrame.from_ndarray(colours, format="rgb24")))
        container.mux(video.encode())
    return stream.getvalue()
