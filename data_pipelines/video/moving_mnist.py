"""The published file of Moving MNIST: uint8 (20, N, 64, 64), time first (Srivastava et al. 2015)."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.readers.bad_file import BadFileError, describe_content, printable, refuse_unopenable
from data_pipelines.readers.image_file import fit_image
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.video.bouncing_digits import generated_clips
from data_pipelines.video.clips import ClipListing, FrameSpan, split_last_fifth
from data_pipelines.video.config import BouncingDigits

TEST_FILE = "mnist_test_seq.npy"
_PUBLISHED_FRAMES, _SMALLEST = 20, 8
_log = logging.getLogger(__name__)
_EXPECTED = f"expected uint8 (time, sequence, height, width), as {TEST_FILE} holds"
_TRAIN_DIGITS = ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz")


@dataclass(frozen=True)
class ArrayClip(FrameSpan):
    """Frames of the `index`-th sequence of the file."""

    file: Path
    index: int

    @property
    def origin(self) -> str:
        return f"{self.file}, sequence {self.index}, frames {self.start} to {self.stop - 1},"

    @property
    def files(self) -> Sequence[Path]:
        return (self.file,)

    def read(self, shape: ImageShape) -> np.ndarray:
        """Read this sequence alone."""
        frames = open_sequences(self.file)[self.start : self.stop, self.index]
        return np.stack([fit_image(Image.fromarray(np.asarray(frame)), shape) for frame in frames])


def list_moving_mnist(path: Path, settings: BouncingDigits, *, size: tuple[int, int]) -> ClipListing:
    """List the file's sequences as test clips, with training clips generated from MNIST's training digits.

    Those digits must lie beside the file; without them, the last fifth of the sequences is for testing. Raises
    ValueError when generated clips of `size`, height and width, would show digits of another size than the file.
    """
    folder = path if path.is_dir() else path.parent
    file = path / TEST_FILE if path.is_dir() else path
    num_frames, num_clips, *published = open_sequences(file).shape
    clips = [ArrayClip(f"sequence-{index}", 0, num_frames, file, index) for index in range(num_clips)]
    digits = next((folder / name for name in _TRAIN_DIGITS if (folder / name).is_file()), None)
    if digits is None:
        return split_last_fifth(clips)
    if tuple(published) != size:
        raise ValueError(
            f"{file}: has frames of {published[0]}x{published[1]}, but `height` and `width` are {size[0]} and "
            f"{size[1]}; these are resized and clips generated from {digits.name} are not, so set both to the file's, "
            "or move the digits away to train on sequences of the file"
        )
    train = generated_clips(settings, "train", settings.num_train_clips, digits)
    return ClipListing({"train": train, "test": clips}, f"train is generated from {digits.name}; test is {file.name}")


def open_sequences(file: Path) -> np.ndarray:
    """Map uint8 [time, sequence, height, width] without reading it; BadFileError names a file of another form."""
    if not file.exists() and not file.is_symlink():
        raise BadFileError(file, f"does not exist; give {TEST_FILE} or its folder")
    refuse_unopenable(file)
    with file.open("rb") as stream:
        magic = stream.read(len(np.lib.format.MAGIC_PREFIX))
    if magic != np.lib.format.MAGIC_PREFIX:
        raise BadFileError(file, f"is no .npy file: it is {describe_content(file)}; download {TEST_FILE} again")
    shape, dtype, num_header_bytes = _read_header(file)
    if dtype.hasobject:
        raise BadFileError(file, f"holds Python objects; {_EXPECTED}")
    num_bytes = file.stat().st_size
    needed = num_header_bytes + math.prod(shape) * dtype.itemsize
    if num_bytes < needed:
        raise BadFileError(file, f"is cut off: it has {num_bytes:,} of at least {needed:,} bytes; download it again")
    sequences = _map(file)
    if sequences.dtype != np.uint8 or sequences.ndim != 4 or not sequences.size:
        raise BadFileError(file, f"holds {sequences.dtype} {sequences.shape}; {_EXPECTED}")
    num_frames, num_sequences, height, width = sequences.shape
    if num_sequences == _PUBLISHED_FRAMES != num_frames or min(height, width) < _SMALLEST:
        advice = "save it with its axes in that order (`numpy.moveaxis`)"
        raise BadFileError(file, f"has the axes {sequences.shape}; {_EXPECTED}: {advice}")
    if num_frames > num_sequences:
        words = "%s: is read as %d sequences of %d frames of %dx%d; save it with other axes if that is wrong"
        _log.warning(words, printable(file), num_sequences, num_frames, height, width)
    return sequences


def _read_header(file: Path) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    with file.open("rb") as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        except Exception as error:  # numpy reads the header as Python, and fails with many kinds of error
            raise BadFileError(file, "has a damaged .npy header, or is cut off in it; download it again") from error
        return shape, dtype, stream.tell()


def _map(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # as above
        raise BadFileError(file, "is cut off or damaged; download it again") from error
