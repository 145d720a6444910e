"""Clips of real digit images that move in straight lines and bounce off the edges, generated as in Moving MNIST."""

import gzip
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.contract.pipeline import Split
from data_pipelines.images.sources import DigitsSource
from data_pipelines.readers.bad_file import refuse_unopenable
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.video.clips import Clip, ClipListing, FrameSpan
from data_pipelines.video.config import BouncingDigits

_IDX3_MAGIC = 2051


@dataclass(frozen=True)
class DigitsClip(FrameSpan):
    """Frames `start` to `stop` of the `index`-th clip that the settings generate for a split."""

    settings: BouncingDigits
    split: Split
    index: int
    images: Path | None
    """A file of digits in the form of MNIST; None: scikit-learn's."""

    @property
    def files(self) -> Sequence[Path]:
        return () if self.images is None else (self.images,)

    def read(self, shape: ImageShape) -> np.ndarray:
        """Generate the frames; they depend on settings, split and index alone."""
        digits = _embedded_digits(self.split) if self.images is None else _own_digits(self.images, self.split)
        random = np.random.default_rng([self.settings.seed, self.split == "test", self.index])
        chosen = digits[random.integers(len(digits), size=self.settings.num_digits)]
        frames = draw_clip(chosen, self.settings, shape=shape, random=random)
        return frames[self.start : self.stop]


def list_bouncing_digits(settings: BouncingDigits, images: Path | None) -> ClipListing:
    """List all clips of both splits; nothing is generated yet."""
    counts: dict[Split, int] = {"train": settings.num_train_clips, "test": settings.num_test_clips}
    clips: dict[Split, Sequence[Clip]] = {
        split: generated_clips(settings, split, count, images) for split, count in counts.items()
    }
    whose = "scikit-learn's digits" if images is None else f"the digits of {images.name}"
    return ClipListing(clips, f"generated; train and test clips are made of different images of {whose}")


def generated_clips(settings: BouncingDigits, split: Split, count: int, images: Path | None) -> list[DigitsClip]:
    """List the first `count` clips of a split."""
    return [
        DigitsClip(f"generated-{index}", 0, settings.num_frames, settings, split, index, images)
        for index in range(count)
    ]


def draw_clip(
    digits: np.ndarray, settings: BouncingDigits, *, shape: ImageShape, random: np.random.Generator
) -> np.ndarray:
    """Draw uint8 [frames, channels, height, width] of moving digits, overlaid by their maximum.

    Each digit starts at a uniformly random position in a uniformly random direction, and is reflected at the edges.
    `digits` are uint8 [count, side, side].
    """
    side = settings.digit_size
    room = np.array([shape.height - side, shape.width - side])
    frames = np.zeros((settings.num_frames, shape.height, shape.width), np.uint8)
    for digit in digits:
        enlarged = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BILINEAR))
        angle = random.uniform(0, 2 * np.pi)
        velocity = settings.speed * room * np.array([np.sin(angle), np.cos(angle)])
        places = reflect(random.uniform(0, 1, 2) * room + np.arange(settings.num_frames)[:, None] * velocity, room)
        for frame, (top, left) in zip(frames, np.rint(places).astype(int), strict=True):
            window = frame[top : top + side, left : left + side]
            np.maximum(window, enlarged, out=window)
    return np.repeat(frames[:, None], shape.channels, axis=1)


def reflect(place: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Fold a straight path into 0..room by reflection at both ends."""
    folded = np.mod(place, 2 * room)
    return np.minimum(folded, 2 * room - folded)


def read_idx_images(path: Path) -> np.ndarray:
    """Read uint8 [count, height, width] from MNIST's file form, gzipped or not.

    Raises ValueError naming a file of another form.
    """
    refuse_unopenable(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be unpacked or read ({error}); download it again") from error
    magic, count, height, width = struct.unpack(">4I", content[:16]) if len(content) >= 16 else (0, 0, 0, 0)
    if magic != _IDX3_MAGIC or len(content) != 16 + count * height * width or not count:
        raise ValueError(f"{path}: is no idx3-ubyte file of images, or is cut off; give MNIST's *-images-idx3-ubyte")
    return np.frombuffer(content, np.uint8, offset=16).reshape(count, height, width)


@lru_cache(maxsize=2)
def _embedded_digits(split: Split) -> np.ndarray:
    return np.concatenate([part.images[:, 0] for part in DigitsSource().read(split, 0)])


@lru_cache(maxsize=2)
def _own_digits(path: Path, split: Split) -> np.ndarray:
    """Return the digits of a file for a split; the last sixth is for test clips, as MNIST has 60,000 and 10,000."""
    images = read_idx_images(path)
    num_test = max(1, len(images) // 6)
    if len(images) < 2:
        raise ValueError(f"{path}: holds {len(images)} digit, expected at least 2, one of them for test clips")
    return images[-num_test:] if split == "test" else images[:-num_test]


def hash_embedded_digits() -> str:
    """Return the SHA-256 of scikit-learn's digits."""
    return hashlib.sha256(DigitsSource().content_hash().encode()).hexdigest()
