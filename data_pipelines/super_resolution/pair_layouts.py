"""Layouts of folders with high- and low-resolution pairs."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_pipelines.readers.bad_file import few
from data_pipelines.readers.file_listing import find_folder, list_files
from data_pipelines.readers.image_file import IMAGE_SUFFIXES
from data_pipelines.readers.natural_order import natural_key
from data_pipelines.super_resolution.image_lists import (
    FilePair,
    ImageEntry,
    ImageListing,
    find_images,
    list_by_folders,
)

_log = logging.getLogger(__name__)
_FLAT = re.compile(r"(?P<name>.+?)(?:[_-](?:SRF[_-]?|x)(?P<scale>\d))?[_-](?P<side>HR|LR)", re.IGNORECASE)
"""Ends of the names of pairs that lie side by side."""
_NUM_DIV2K_VAL = 10
"""Images of DIV2K's validation set that are evaluated during training, as usual: 0801 to 0810."""
DIV2K_RULE = "train: DIV2K_train_HR; test: DIV2K_valid_HR; val: the first 10 of test"


def list_pairs(root: Path, scales: Sequence[int]) -> ImageListing:
    """List the pairs of every split folder of `root`, or of `root` itself, split by the folder rule."""
    return list_by_folders(root, lambda folder: pairs_in(folder, scales))


def pairs_in(folder: Path, scales: Sequence[int]) -> list[ImageEntry]:
    """List the pairs of a folder in one of the layouts of `describe_layouts`, or side by side by the ends of names.

    Raises ValueError naming the missing folder, or the images that only one side has.
    """
    flat = _flat_pairs(folder)
    if flat and not any(is_pair_folder(folder, scale) for scale in scales):
        _warn_of_others(folder, flat)
        by_scale = {scale: _choose_scale(folder, flat, scale) for scale in scales}
    else:
        by_scale = {scale: _match(*_find_sides(folder, scale), scale) for scale in scales}
    names = sorted({name for pairs in by_scale.values() for name in pairs}, key=lambda name: natural_key(Path(name)))
    for scale, pairs in by_scale.items():
        missing = [name for name in names if name not in pairs]
        if missing:
            raise ValueError(f"{folder}: scale {scale} has no pair for {_few(missing)}, which other scales have")
    return [ImageEntry(name, pairs={scale: by_scale[scale][name] for scale in scales}) for name in names]


def is_pair_folder(folder: Path, scale: int) -> bool:
    """Return whether low-resolution images of this scale lie in a folder of their own inside the folder."""
    return any((folder / lr).is_dir() for _, lr in _layouts(scale))


def is_flat_pair_folder(folder: Path) -> bool:
    """Return whether images at high and at low resolution lie side by side: `a_SRF_4_HR.png`, `a_SRF_4_LR.png`."""
    return bool(_flat_pairs(folder))


def _flat_pairs(folder: Path) -> dict[tuple[str, int | None], dict[str, Path]]:
    """Return the files of each name and scale by their side; nothing unless some name has both sides."""
    found: dict[tuple[str, int | None], dict[str, Path]] = {}
    twins: list[tuple[Path, Path]] = []
    for path in list_files(folder, IMAGE_SUFFIXES, deep=False).files if folder.is_dir() else ():
        match = _FLAT.fullmatch(path.stem)
        if match:
            scale = int(match["scale"]) if match["scale"] else None
            sides = found.setdefault((match["name"], scale), {})
            other = sides.setdefault(match["side"].upper(), path)
            twins += [(other, path)] if other != path else []
    if not any(len(sides) == 2 for sides in found.values()):
        return {}
    if twins:
        raise ValueError(f"{twins[0][0]} and {twins[0][1].name} are the same side of one pair; keep one of them")
    return found


def _choose_scale(
    folder: Path, flat: Mapping[tuple[str, int | None], Mapping[str, Path]], scale: int
) -> dict[str, FilePair]:
    chosen: dict[str, Mapping[str, Path]] = {}
    for (name, other), sides in flat.items():
        if other in (scale, None) and chosen.setdefault(name, sides) is not sides:
            both = [next(iter(each.values())).name for each in (chosen[name], sides)]
            raise ValueError(f"{folder}: {' and '.join(both)} are pairs of one name; keep one of them")
    if not chosen:
        scales = sorted({other for _, other in flat if other})
        raise ValueError(f"{folder} holds pairs of the scales {', '.join(map(str, scales))}, and none of scale {scale}")
    alone = [next(iter(sides.values())).name for sides in chosen.values() if len(sides) == 1]
    if alone:
        raise ValueError(f"{folder}: {_few(alone)} have no partner; every image needs both sides")
    return {name: FilePair(sides["HR"], sides["LR"]) for name, sides in chosen.items()}


def _warn_of_others(folder: Path, flat: Mapping[tuple[str, int | None], Mapping[str, Path]]) -> None:
    known = {path for sides in flat.values() for path in sides.values()}
    others = [path.name for path in list_files(folder, IMAGE_SUFFIXES, deep=False).files if path not in known]
    if others:
        _log.warning("%s: %d images end in neither HR nor LR and are left out: %s", folder, len(others), few(others))


def describe_layouts(scale: int) -> str:
    """Describe the folders that may hold the pairs of a scale, for a message."""
    return "; ".join(f"{hr} and {lr}" for hr, lr in _layouts(scale))


def list_div2k(root: Path, scales: Sequence[int]) -> ImageListing:
    """List DIV2K as it is distributed: train 0001 to 0800, test 0801 to 0900, val 0801 to 0810."""
    train, test = (_div2k_part(root, part, scales) for part in ("train", "valid"))
    return ImageListing({"train": train, "val": test[:_NUM_DIV2K_VAL], "test": test}, DIV2K_RULE)


def _div2k_part(root: Path, part: str, scales: Sequence[int]) -> list[ImageEntry]:
    low = {scale: find_folder(root / f"DIV2K_{part}_LR_bicubic", f"X{scale}") for scale in scales}
    entries = []
    for hr in find_images(root / f"DIV2K_{part}_HR"):
        pairs = {}
        for scale, folder in low.items():
            lr = folder / f"{hr.stem}x{scale}{hr.suffix}"
            if folder.is_dir() and not lr.is_file():
                raise ValueError(f"{hr} has no partner {lr}; add it, or remove the folder {folder}")
            if folder.is_dir():
                pairs[scale] = FilePair(hr, lr)
        entries.append(ImageEntry(hr.relative_to(root).as_posix(), hr=hr, pairs=pairs))
    return entries


def _find_sides(folder: Path, scale: int) -> tuple[Path, Path]:
    for hr, lr in _layouts(scale):
        if (folder / hr).is_dir() and (folder / lr).is_dir():
            return folder / hr, folder / lr
    raise ValueError(f"{folder} holds no pairs of scale {scale}; expected the folders {describe_layouts(scale)}")


def _layouts(scale: int) -> list[tuple[str, str]]:
    """Return the folder names of each layout.

    The last two are those of the usual downloads of Set5, Set14, B100, Urban100.
    """
    return [
        (f"HR_x{scale}", f"LR_x{scale}"),
        ("HR", f"LR_x{scale}"),
        (f"x{scale}/HR", f"x{scale}/LR"),
        ("HR", f"LR_bicubic/X{scale}"),
        ("GTmod12", f"LRbicx{scale}"),
    ]


def _match(hr_folder: Path, lr_folder: Path, scale: int) -> dict[str, FilePair]:
    """Match files of the same name; those in `LR_bicubic` may have `x4` after it."""
    ending = f"x{scale}" if lr_folder.parent.name == "LR_bicubic" else ""
    hr = {path.relative_to(hr_folder).as_posix(): path for path in find_images(hr_folder)}
    lr: dict[str, Path] = {}
    for path in find_images(lr_folder):
        name = path.relative_to(lr_folder).with_name(path.stem.removesuffix(ending) + path.suffix).as_posix()
        if lr.setdefault(name, path) != path:
            raise ValueError(f"{lr[name]} and {path.name} are the low resolution of one image; keep one of them")
    alone = sorted(set(hr) ^ set(lr))
    if alone:
        raise ValueError(f"{hr_folder} and {lr_folder}: only one of them holds {_few(alone)}; every image needs both")
    return {name: FilePair(hr[name], lr[name]) for name in hr}


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
