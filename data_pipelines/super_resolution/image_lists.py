"""Lists of image files: the files of each row of super-resolution data, the search of folders, and the split rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from data_pipelines.contract.pipeline import SPLITS, Split
from data_pipelines.prepared.sources.split_folders import find_split_folders, warn_of_strays
from data_pipelines.readers.file_listing import list_files, warn_left_out
from data_pipelines.readers.image_file import IMAGE_SUFFIXES

Item = TypeVar("Item")
CLASS_RULE = "each class in natural order, counted from 0: odd ones test; 0, 20, 40, ... val; others train"
"""Of 21 classes with 100 images each it makes 945 for training, 105 for validation and 1,050 for testing."""
FOLDER_RULE = "in natural order, counted from 0: 9, 19, ... test; 4, 14, ... val; others train"
GIVEN_RULE = "as the folders say"
VAL_FROM_TRAIN_RULE = "as the folders say; of train, in natural order counted from 0: 4, 14, ... val"


@dataclass(frozen=True)
class FilePair:
    """Files of an image at high and at low resolution."""

    hr: Path
    lr: Path


@dataclass(frozen=True)
class ImageEntry:
    """The files of one image: one at high resolution, or a pair for each scale."""

    name: str
    """Path relative to the data's root, unique to the image."""
    hr: Path | None = None
    pairs: Mapping[int, FilePair] = field(default_factory=dict)

    @property
    def files(self) -> list[Path]:
        """All files, in a fixed order."""
        single = [] if self.hr is None else [self.hr]
        return single + [path for scale in sorted(self.pairs) for path in (self.pairs[scale].hr, self.pairs[scale].lr)]


@dataclass(frozen=True)
class ImageListing:
    """The images of every split, and the rule that split them."""

    entries: Mapping[Split, list[ImageEntry]]
    rule: str


def list_by_folders(root: Path, list_in: Callable[[Path], list[ImageEntry]]) -> ImageListing:
    """List the images of every split folder of `root`, or of `root` itself, split by the folder rule."""
    given = find_split_folders(root)
    if not given:
        return ImageListing(split_by_folder_rule(list_in(root)), FOLDER_RULE)
    if "train" not in given:
        raise ValueError(f"{root} holds {', '.join(given)} and no train; add the folder {root / 'train'}")
    entries: dict[Split, list[ImageEntry]] = {
        split: list_in(given[split]) if split in given else [] for split in SPLITS
    }
    inside = [path for folder in given.values() for path in list_files(folder, IMAGE_SUFFIXES).files]
    warn_of_strays(root, inside, IMAGE_SUFFIXES)
    return ImageListing(entries, GIVEN_RULE) if "val" in given else ImageListing(take_val(entries), VAL_FROM_TRAIN_RULE)


def find_images(folder: Path) -> list[Path]:
    """Return all image files at any depth, in natural order, by the rule of `list_files`.

    What is left out is counted in a warning. Raises ValueError when there is none.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; expected one with images ({', '.join(IMAGE_SUFFIXES)})")
    listing = list_files(folder, IMAGE_SUFFIXES)
    if not listing.files:
        raise ValueError(f"{folder} holds no image; allowed: {', '.join(IMAGE_SUFFIXES)}")
    warn_left_out(folder, [listing])
    return listing.files


def split_by_class_rule(items: Sequence[Item]) -> dict[Split, list[Item]]:
    """Apply `CLASS_RULE` to the images of one class."""
    return _split(items, lambda index: "test" if index % 2 else "val" if index % 20 == 0 else "train")


def split_by_folder_rule(items: Sequence[Item]) -> dict[Split, list[Item]]:
    """Apply `FOLDER_RULE` to all images."""
    return _split(items, lambda index: "test" if index % 10 == 9 else "val" if index % 10 == 4 else "train")


def take_val(given: Mapping[Split, Sequence[Item]]) -> dict[Split, list[Item]]:
    """Apply `VAL_FROM_TRAIN_RULE` to splits without val."""
    train = _split(given["train"], lambda index: "val" if index % 10 == 4 else "train")
    return {**train, "test": list(given["test"])}


def _split(items: Sequence[Item], rule: Callable[[int], Split]) -> dict[Split, list[Item]]:
    splits: dict[Split, list[Item]] = {"train": [], "val": [], "test": []}
    for index, item in enumerate(items):
        splits[rule(index)].append(item)
    return splits
