"""Lists of image files: the files of each row of super-resolution data, and the search of folders."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data_pipelines.contract.pipeline import Split
from data_pipelines.readers.image_file import IMAGE_SUFFIXES
from data_pipelines.readers.natural_order import visible_entries


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


def find_images(folder: Path) -> list[Path]:
    """Return all image files at any depth, in natural order; other and hidden files are skipped.

    Raises ValueError when there is none, or when a link leads out of the folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; expected one with images ({', '.join(IMAGE_SUFFIXES)})")
    found = _images_below(folder, folder)
    if not found:
        raise ValueError(f"{folder} holds no image; allowed: {', '.join(IMAGE_SUFFIXES)}")
    return found


def _images_below(folder: Path, root: Path) -> list[Path]:
    found: list[Path] = []
    for path in visible_entries(folder):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
            raise ValueError(f"{path} is a link to outside {root}; copy the file into the folder instead")
        if path.is_dir():
            found += _images_below(path, root)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            found.append(path)
    return found
