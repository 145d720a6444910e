"""Clips stored as folders of numbered images."""

import itertools
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_pipelines.readers.bad_file import BadFileError, few, printable
from data_pipelines.readers.file_listing import AGAIN, identity_of, list_files
from data_pipelines.readers.image_file import IMAGE_SUFFIXES, decode_image, fit_image, to_plain
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.readers.natural_order import natural_key
from data_pipelines.video.clips import ClipListing, list_splits

_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_DIVIDE = "divide the clip into two folders there"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameClip:
    """Images in order, all of one size."""

    name: str
    files: tuple[Path, ...]

    @property
    def origin(self) -> str:
        return f"{printable(self.files[0].parent)}, {self.files[0].name} to {self.files[-1].name},"

    @property
    def num_frames(self) -> int:
        return len(self.files)

    def read(self, shape: ImageShape) -> np.ndarray:
        """Read every frame, resized to cover the shape; ValueError names a frame of another size than the first."""
        first = None
        frames = []
        for path in self.files:
            if not path.exists() and not path.is_symlink():
                raise BadFileError(path, f"this frame is missing; put it back, or remove the clip {self.name}")
            image = decode_image(path)
            first = first or image.size
            if image.size != first:
                raise BadFileError(
                    path,
                    f"is {image.width}x{image.height}, but {self.files[0].name} of the same clip is "
                    f"{first[0]}x{first[1]}; all frames of a clip must have one size",
                )
            frames.append(fit_image(to_plain(image, path), shape))
        return np.stack(frames)

    def cut(self, start: int, stop: int) -> "FrameClip":
        return replace(self, name=f"{self.name}[{start}:{stop}]", files=self.files[start:stop])


def list_frame_folders(root: Path, *, divides: bool = False) -> ClipListing:
    """List `[{train,val,test}/]<clip>/[any folder/]<frame>`; a clip is a folder that holds images itself.

    Frames whose names differ before the number that ends them are clips of their own; with `divides` also those before
    and behind a gap between numbers. Raises ValueError naming the folder or frame when there are no clips, a number is
    given twice, or without `divides` one is missing.
    """
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder; expected one with a folder of numbered frames for each clip")
    return list_splits(
        root,
        lambda files: _clips_of(files, root, divides=divides),
        suffixes=IMAGE_SUFFIXES,
        what=f"images ({', '.join(IMAGE_SUFFIXES)})",
    )


def list_frames(folder: Path) -> list[Path]:
    """List the images of one folder in natural order; a picture that stands there again by a link is a frame too."""
    listing = list_files(folder, IMAGE_SUFFIXES, deep=False)
    return sorted([*listing.files, *listing.left_out.get(AGAIN, [])], key=natural_key)


def order_frames(paths: Sequence[Path]) -> list[Path]:
    """Sort files by the number that ends each name.

    Raises BadFileError when one is missing or repeated, or the steps are uneven by more than a tenth.
    """
    numbered = _number(paths)
    _refuse_gaps(numbered)
    return [numbered[number] for number in sorted(numbered)]


def divide_frames(paths: Sequence[Path]) -> list[list[Path]]:
    """Sort files by the number that ends each name, and divide them where a step is not the usual one.

    Raises BadFileError when a number is repeated.
    """
    numbered = _number(paths)
    numbers, steps, usual = _steps_of(numbered)
    edges = [0, *(place + 1 for place, step in enumerate(steps) if not _is_usual(step, usual)), len(numbers)]
    return [[numbered[number] for number in numbers[start:stop]] for start, stop in itertools.pairwise(edges)]


def _number(paths: Sequence[Path]) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for path in paths:
        number = int(_split_name(path)[1])
        if number in numbered:
            raise BadFileError(path, f"has the number {number} like {numbered[number].name}; remove one of them")
        numbered[number] = path
    return numbered


def _steps_of(numbered: dict[int, Path]) -> tuple[list[int], list[int], int]:
    """Return the numbers in order, the steps between them, and the usual step, which is the most frequent one."""
    numbers = sorted(numbered)
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    counts = Counter(steps)
    return numbers, steps, min(counts, key=lambda step: (-counts[step], step), default=1)


def _is_usual(step: int, usual: int) -> bool:
    """Return whether a step is the usual one, give or take a tenth, as of clocks that do not tick evenly."""
    return abs(step - usual) <= usual // 10


def group_by_prefix(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Group files by what stands in their names before the number that ends them. BadFileError for no number."""
    prefixes: dict[str, list[Path]] = {}
    for path in paths:
        prefixes.setdefault(_split_name(path)[0], []).append(path)
    return prefixes


def _split_name(path: Path) -> tuple[str, str]:
    """Return what stands before the last number of a name, and that number."""
    match = _LAST_NUMBER.search(path.stem)
    if match is None:
        raise BadFileError(path, "the name has no number to order frames by; rename or remove the file")
    return path.stem[: match.start()], match[1]


def _refuse_gaps(numbered: dict[int, Path]) -> None:
    """Raise BadFileError at the first step between numbers that is not the usual one; warn of steps near it."""
    numbers, steps, usual = _steps_of(numbered)
    place = next((place for place, step in enumerate(steps) if not _is_usual(step, usual)), None)
    if place is None:
        odd = [numbered[number].name for number, step in zip(numbers, steps, strict=False) if step != usual]
        if odd:
            words = "%s: the steps after %d of %d frames (%s) are not quite %d, and count as it"
            _log.warning(words, printable(numbered[numbers[0]].parent), len(odd), len(numbers), few(odd), usual)
        return
    if place and steps[place - 1] != usual:  # a stranger shortly before the next frame
        place -= 1
    before, path = numbers[place], numbered[numbers[place]]
    if steps[place] % usual == 0:
        missing = _LAST_NUMBER.sub(
            lambda match: match[0].replace(match[1], f"{before + usual:0{len(match[1])}d}", 1), path.stem
        )
        raise BadFileError(
            path.with_name(missing + path.suffix),
            f"this frame is missing after {path.name}; put it back, or {_DIVIDE}",
        )
    is_first_odd = place == 0 and len(steps) > 1 and steps[1] == usual
    odd = numbers[0] if is_first_odd else numbers[place + 1]
    neighbour = numbered[numbers[1]] if is_first_odd else path
    raise BadFileError(
        numbered[odd],
        f"its number does not fit to {neighbour.name}, as the usual step is {usual}; remove or rename it, or {_DIVIDE}",
    )


def _clips_of(files: Sequence[Path], root: Path, *, divides: bool) -> list[FrameClip]:
    clips: dict[tuple[object, ...], FrameClip] = {}
    for folder in dict.fromkeys(file.parent for file in files):
        prefixes = group_by_prefix(list_frames(folder))
        if len(prefixes) > 1:
            names = few(f"{prefix}*" for prefix in prefixes)
            _log.warning("%s: holds frames of %d names (%s); each is a clip", printable(folder), len(prefixes), names)
        name = folder.relative_to(root).as_posix()
        split = name.partition("/")[0]
        for prefix, paths in prefixes.items():
            whole_name = name if len(prefixes) == 1 else f"{name}/{prefix}*"
            parts = divide_frames(paths) if divides else [order_frames(paths)]
            for part in parts:
                part_name = whole_name if len(parts) == 1 else f"{whole_name}@{_split_name(part[0])[1]}"
                identity = (split, *map(identity_of, part))
                clips.setdefault(identity, FrameClip(part_name, tuple(part)))
            if len(parts) > 1:
                _log.warning("%s: is divided at %d gaps into clips", printable(whole_name), len(parts) - 1)
    return list(clips.values())
