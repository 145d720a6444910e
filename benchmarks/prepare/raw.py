"""Made-up raw files of each kind that `prepare` is measured with, and the pipelines that read them."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from data_pipelines.contract.pipeline import DataPipeline
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.super_resolution.config import SuperResolutionData
from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline

IMAGES, PAIRS, HEARTS, VIDEO = "images", "super_resolution", "heart_sounds", "video"
COUNTS = {IMAGES: 30_000, PAIRS: 5000, HEARTS: 1500, VIDEO: 120}
"""Files of each kind, which one process of the machine of `RESULTS.md` prepares in most of a minute: ten
shards and more, so that little is left when one of two processes has no more to do."""
SIDE, NUM_FRAMES, NUM_MADE = 400, 200, 100
"""Pixels of a side, frames of a video, and images that are made: further ones are these with a few bytes behind."""


def write_raw(kind: str, folder: Path, count: int) -> None:
    """Write so many files."""
    WRITERS[kind](folder, count)


def build_pipeline(kind: str, folder: Path) -> DataPipeline[Any]:
    """Return the pipeline that reads the files of a kind."""
    if kind == IMAGES:
        return ImagePipeline(ImageData(source="folder", path=folder, size=64))
    if kind == PAIRS:
        return SuperResolutionPipeline(SuperResolutionData(source="folder", path=folder))
    if kind == HEARTS:
        return HeartPipeline(HeartData(folder=folder), None)
    return VideoPipeline(VideoData(source="videos", path=folder, max_clip_frames=50))


def write_small_images(folder: Path, count: int, *, per_class: int = 2000) -> None:
    """Write JPEG images of 32x32 pixels, so many to a class folder; their pixels are those of a few."""
    made = [_encode(32, "JPEG", seed) for seed in range(NUM_MADE)]
    for number in range(count):
        path = folder / f"class{number // per_class:05d}" / f"{number}.jpg"
        if number % per_class == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(made[number % NUM_MADE] + number.to_bytes(8, "little"))


def _write_images(folder: Path, count: int) -> None:
    made = [_encode(SIDE, "JPEG", seed) for seed in range(NUM_MADE)]
    for number in range(count):
        path = folder / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made[number % NUM_MADE] + number.to_bytes(8, "little"))


def _write_photographs(folder: Path, count: int) -> None:
    folder.mkdir()
    made = [_encode(SIDE, "PNG", seed) for seed in range(NUM_MADE)]
    for number in range(count):
        (folder / f"{number}.png").write_bytes(made[number % NUM_MADE] + number.to_bytes(8, "little"))


def _encode(side: int, kind: str, seed: int) -> bytes:
    small = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    content = BytesIO()
    Image.fromarray(small).resize((side, side)).save(content, kind)
    return content.getvalue()


def _write_recordings(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        generator = np.random.default_rng(number)
        sound = generate_heart_sound(generator, duration_s=20.0, beats_per_min=75.0).sound
        soundfile.write(folder / f"{number}.wav", sound.samples, sound.rate)


def _write_videos(folder: Path, count: int) -> None:
    import av

    folder.mkdir()
    for number in range(count):
        generator = np.random.default_rng(number)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
            for _ in range(NUM_FRAMES):
                small = generator.integers(0, 256, (SIDE // 16, SIDE // 16, 3), dtype=np.uint8)
                frame = np.asarray(Image.fromarray(small).resize((SIDE, SIDE)))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode(None))


WRITERS: dict[str, Callable[[Path, int], None]] = {
    IMAGES: _write_images,
    PAIRS: _write_photographs,
    HEARTS: _write_recordings,
    VIDEO: _write_videos,
}
