"""Preparation of data by one process and by several: the same bytes, and the ratio of the times.

python -m benchmarks.prepare [--processes 2] [--images 1500] [--recordings 60] [--videos 8]

Raw files are made up: JPEG images in class folders, PNG images for super-resolution, phonocardiograms whose beats are
found, and MPEG-4 videos. The listing and the digest of the raw files are part of both times.
"""

import argparse
import shutil
import tempfile
import time
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
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder
from data_pipelines.super_resolution.config import SuperResolutionData
from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline

SIDE, NUM_FRAMES, NUM_SHARDS = 400, 200, 24


def main() -> None:
    """Print a line for each kind of data."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--recordings", type=int, default=60)
    parser.add_argument("--videos", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, pipeline in _pipelines(root, options).items():
            _compare(name, pipeline, root, options.processes)


def _compare(name: str, pipeline: DataPipeline[Any], root: Path, num_processes: int) -> None:
    num_rows = max(sum(pipeline.num_raw_rows().values()) // NUM_SHARDS, 1)
    times, contents = [], []
    for number in (1, num_processes):
        target = root / "prepared"
        began = time.perf_counter()
        prepare(pipeline, Folder(str(target)), rows_per_shard=num_rows, num_processes=number)
        times.append(time.perf_counter() - began)
        contents.append({path.name: path.read_bytes() for path in target.glob("*.*") if path.is_file()})
        shutil.rmtree(target)
    same = "the same bytes" if contents[0] == contents[1] else "OTHER BYTES"
    one, several = times
    print(f"{name:18s} {one:6.1f} s by 1, {several:6.1f} s by {num_processes}: {one / several:.2f} times, {same}")


def _pipelines(root: Path, options: argparse.Namespace) -> dict[str, DataPipeline[Any]]:
    _save_images(root / "images", options.images, ".jpg")
    _save_images(root / "photographs", options.images // 5, ".png")
    _save_recordings(root / "hearts", options.recordings)
    _save_videos(root / "videos", options.videos)
    return {
        "images": ImagePipeline(ImageData(source="folder", path=root / "images", size=64)),
        "super_resolution": SuperResolutionPipeline(SuperResolutionData(source="folder", path=root / "photographs")),
        "heart_sounds": HeartPipeline(HeartData(folder=root / "hearts"), None),
        "video": VideoPipeline(VideoData(source="videos", path=root / "videos", max_clip_frames=50)),
    }


def _save_images(folder: Path, count: int, ending: str) -> None:
    generator = np.random.default_rng(0)
    for number in range(count):
        small = generator.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        path = folder / f"class{number % 2}" / f"{number}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).resize((SIDE, SIDE)).save(path)


def _save_recordings(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        generator = np.random.default_rng(number)
        sound = generate_heart_sound(generator, duration_s=20.0, beats_per_min=75.0).sound
        soundfile.write(folder / f"{number}.wav", sound.samples, sound.rate)


def _save_videos(folder: Path, count: int) -> None:
    import av

    folder.mkdir()
    generator = np.random.default_rng(0)
    for number in range(count):
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
            for _ in range(NUM_FRAMES):
                small = generator.integers(0, 256, (SIDE // 16, SIDE // 16, 3), dtype=np.uint8)
                frame = np.asarray(Image.fromarray(small).resize((SIDE, SIDE)))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
            container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
