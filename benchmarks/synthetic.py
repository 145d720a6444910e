"""Made-up raw data, for measuring only: random pixels as CIFAR-10, as files or as Moving MNIST; heart sounds."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import wavfile

from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound

NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
ROW_BYTES = 1 + 3 * 32 * 32


def write_cifar10_like(folder: Path, num_rows: int) -> Path:
    """Five training batches with `num_rows` rows together, and a test batch of 16; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(1, 6):
        _write(folder / f"data_batch_{number}.bin", num_rows // 5, random)
    _write(folder / "test_batch.bin", 16, random)
    (folder / "batches.meta.txt").write_text("\n".join(NAMES.split()) + "\n")
    return folder


def _write(file: Path, num_rows: int, random: np.random.Generator) -> None:
    rows = random.integers(0, 256, (num_rows, ROW_BYTES), dtype=np.uint8)
    rows[:, 0] %= 10
    file.write_bytes(rows.tobytes())


def write_images(folder: Path, num_images: int, *, side: int) -> Path:
    """Square RGB images as BMP files, which are the quickest to write and to read; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(num_images):
        pixels = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:05d}.bmp")
    return folder


def write_heart_sounds(folder: Path, num_recordings: int, *, duration_s: float) -> Path:
    """16-bit wav files of hearts at 55 to 150 beats per minute; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(num_recordings):
        made = generate_heart_sound(random, duration_s=duration_s, beats_per_min=random.uniform(55, 150)).sound
        wavfile.write(folder / f"{number:05d}.wav", made.rate, np.round(32767 * made.samples).astype(np.int16))
    return folder


def write_moving_mnist_like(folder: Path, num_clips: int) -> Path:
    """Clips of 20 frames of 64x64 grey pixels, one file, time first; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = np.random.default_rng(0).integers(0, 256, (20, num_clips, 64, 64), dtype=np.uint8)
    np.save(folder / "mnist_test_seq.npy", clips)
    return folder
