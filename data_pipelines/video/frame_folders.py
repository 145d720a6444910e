"""Clips stored as folders of numbered images."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from data_pipelines.readers.image_file import IMAGE_SUFFIXES, decode_image, to_plain
from data_pipelines.readers.natural_order import natural_key, visible_entries
from data_pipelines.video.clips import ClipListing, FrameShape, list_splits


@dataclass(frozen=True)
class FrameClip:
    """Images in order, all of one size."""

    name: str
    files: tuple[Path, ...]

    @property
    def num_frames(self) -> int:
        """Number of frames, one for each file."""
        return len(self.files)

    def read(self, shape: FrameShape) -> np.ndarray:
        """Read every frame, resized to cover the shape; ValueError names a frame of another size than the first."""
        first = decode_image(self.files[0]).size
        frames = []
        for path in self.files:
            if not path.is_file():
                raise ValueError(f"{path}: this frame is missing; put it back, or remove the clip {self.name}")
            image = decode_image(path)
            if image.size != first:
                raise ValueError(
                    f"{path}: is {image.width}x{image.height}, but {self.files[0].name} of the same clip is "
                    f"{first[0]}x{first[1]}; all frames of a clip must have one size"
                )
            frames.append(fit_frame(to_plain(image, path), shape))
        return np.stack(frames)

    def cut(self, start: int, stop: int) -> "FrameClip":
        """Return a part, named after its frames."""
        return replace(self, name=f"{self.name}[{start}:{stop}]", files=self.files[start:stop])


def fit_frame(image: Image.Image, shape: FrameShape) -> np.ndarray:
    """Convert to uint8 [channels, height, width]: resized (bicubic) to cover the shape, and centre-cropped."""
    plain = image.convert("L" if shape.channels == 1 else "RGB")
    if plain.size != (shape.width, shape.height):
        scale = min(plain.width / shape.width, plain.height / shape.height)
        width, height = shape.width * scale, shape.height * scale
        left, top = (plain.width - width) / 2, (plain.height - height) / 2
        box = (left, top, left + width, top + height)
        plain = plain.resize((shape.width, shape.height), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(plain)
    return pixels[None] if shape.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def list_frame_folders(root: Path) -> ClipListing:
    """List `[{train,val,test}/]<clip>/[any folder/]<frame>`; a clip is a folder that holds images itself.

    Raises ValueError naming the folder or frame when there are no clips, or a number is missing or given twice.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; expected one with a folder of numbered frames for each clip")
    return list_splits(root, _clips_below, what=f"images ({', '.join(IMAGE_SUFFIXES)})")


def order_frames(paths: Sequence[Path]) -> list[Path]:
    """Sort files by the number that ends each name.

    Raises ValueError when one is missing or repeated, or the steps are uneven.
    """
    numbered: dict[int, Path] = {}
    for path in paths:
        match = re.search(r"(\d+)\D*$", path.stem)
        if match is None:
            raise ValueError(f"{path}: the name has no number to order frames by; rename or remove the file")
        number = int(match[1])
        if number in numbered:
            raise ValueError(f"{path}: has the number {number} like {numbered[number].name}; remove one of them")
        numbered[number] = path
    _refuse_gaps(numbered)
    return [numbered[number] for number in sorted(numbered)]


def _refuse_gaps(numbered: dict[int, Path]) -> None:
    numbers = sorted(numbered)
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    for before, step in zip(numbers, steps, strict=False):
        if step != min(steps):
            path = numbered[before]
            missing = re.sub(r"\d+(?=\D*$)", f"{before + min(steps):0{_digits(path)}d}", path.stem)
            raise ValueError(
                f"{path.with_name(missing + path.suffix)}: this frame is missing after {path.name}; put it back, or "
                "divide the clip into two folders there"
            )


def _digits(path: Path) -> int:
    match = re.search(r"(\d+)\D*$", path.stem)
    assert match is not None
    return len(match[1])


def _clips_below(folder: Path, root: Path) -> list[FrameClip]:
    if not folder.is_dir():
        return []
    folders = sorted([folder, *(path for path in folder.rglob("*") if path.is_dir())], key=lambda path: _key(path))
    clips = []
    for path in folders:
        images = [entry for entry in visible_entries(path) if entry.suffix.lower() in IMAGE_SUFFIXES]
        if images:
            clips.append(FrameClip(path.relative_to(root).as_posix(), tuple(order_frames(images))))
    return clips


def _key(path: Path) -> list[object]:
    return [natural_key(Path(part)) for part in path.parts]
