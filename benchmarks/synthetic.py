"""Made-up images of random pixels, for measuring only: in CIFAR-10's binary form, or as files."""

from pathlib import Path

import numpy as np
from PIL import Image

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
