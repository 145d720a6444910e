"""Folders of image files, one per class or without classes, listed in a fixed order and split by a fixed rule."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from data_pipelines.contract.pipeline import Split
from data_pipelines.images.sources import LabelledImages
from data_pipelines.prepared.sources.split_folders import find_split_folders
from data_pipelines.readers.bad_file import BadFileError, content_of, few, printable
from data_pipelines.readers.file_listing import identity_of, is_folder, list_files, refuse_shared, warn_left_out
from data_pipelines.readers.image_file import IMAGE_SUFFIXES, load_image
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.readers.natural_order import is_hidden, visible_entries

_CHUNK = 64


@dataclass(frozen=True)
class _ImageFile:
    path: Path
    label: int


def _refuse_two_labels(files: Sequence[_ImageFile]) -> None:
    """Raise ValueError when one real file lies, by two names, in two classes."""
    known: dict[object, _ImageFile] = {}
    for file in files:
        other = known.setdefault(identity_of(file.path), file)
        if other.label != file.label:
            names = f"{printable(other.path)} and {printable(file.path)}"
            raise ValueError(f"{names} are one file in two classes; keep one of them")


def _load_until_fault(files: Sequence[_ImageFile], shape: ImageShape) -> tuple[list[np.ndarray], BadFileError | None]:
    """Load the images before the first damaged one, and return its fault."""
    images = []
    for file in files:
        try:
            images.append(load_image(file.path, shape))
        except BadFileError as fault:
            return images, fault
    return images, None


def _hold_out(paths: Sequence[Path], folder: Path) -> dict[Split, list[Path]]:
    """Take every tenth file for testing, or the last one of fewer than ten."""
    if len(paths) < 2:
        raise ValueError(f"{folder} has 1 image; expected at least 2, one of them for testing")
    if len(paths) < 10:
        return {"train": [*paths[:-1]], "test": [*paths[-1:]]}
    return {"train": [path for number, path in enumerate(paths) if number % 10 != 9], "test": [*paths[9::10]]}


class FolderSource:
    """Source of images in one folder per class.

    The layout is `<root>/{train,test}/<class>/<image>`, or `<root>/<class>/<image>` with every tenth image as a test
    image.

    Classes are numbered in natural order. Hidden files are skipped; any other unexpected entry is an error.
    Rows are ordered by the SHA-256 of the file's name in the folder, so that every shard mixes the classes.
    """

    def __init__(self, root: Path, shape: ImageShape) -> None:
        if not root.is_dir():
            raise ValueError(f"{root} is not a folder; expected one with a folder of images per class")
        self.root = root
        self.shape = shape

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the class folders, in natural order, as printable text."""
        return tuple(printable(name) for name in self._folder_names)

    @cached_property
    def _folder_names(self) -> Sequence[str]:
        roots = list(self._split_folders.values()) if self._is_split else [self.root]
        names = [tuple(path.name for path in self._class_folders(root)) for root in roots]
        if names[0] != names[-1]:
            differing = few(sorted(set(names[0]) ^ set(names[-1])), most=10)
            raise ValueError(
                f"{self.root}: train and test must have the same classes; only one of them has {differing}"
            )
        if len(names[0]) < 2:
            raise ValueError(f"{roots[0]} has {len(names[0])} class folders, expected at least 2")
        return names[0]

    def num_rows(self) -> dict[Split, int]:
        return {split: len(files) for split, files in self._files.items()}

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        files = self._files[split]
        for first in range(start_row, len(files), _CHUNK):
            chunk = files[first : first + _CHUNK]
            images, fault = _load_until_fault(chunk, self.shape)
            if images:
                labels = np.array([file.label for file in chunk[: len(images)]], dtype=np.int64)
                yield LabelledImages(np.stack(images), labels)
            if fault is not None:
                raise fault

    def files(self) -> list[Path]:
        return [file.path for files in self._files.values() for file in files]

    def split_files(self) -> dict[Split, list[Path]]:
        return {split: [file.path for file in files] for split, files in self._files.items()}

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for files in self._files.values():
            for file in files:
                content = content_of(file.path)
                digest.update(os.fsencode(f"{self._name(file)}\n{len(content)}\n"))
                digest.update(content)
        return digest.hexdigest()

    @cached_property
    def _is_split(self) -> bool:
        inner = {
            entry.name: any(path.is_dir() for path in visible_entries(entry))
            for entry in visible_entries(self.root)
            if entry.is_dir()
        }
        if not any(inner.get(path.name) for path in self._split_folders.values()):
            return False
        if len(inner) != 2 or set(self._split_folders) != {"train", "test"}:
            names = ", ".join(printable(name) for name in sorted(inner))
            raise ValueError(f"{printable(self.root)} holds {names}; expected exactly the folders train and test")
        return True

    @cached_property
    def _split_folders(self) -> dict[Split, Path]:
        return find_split_folders(self.root)

    @cached_property
    def _files(self) -> dict[Split, list[_ImageFile]]:
        splits: dict[Split, list[_ImageFile]] = {"train": [], "test": []}
        for label, by_split in enumerate(self._classes()):
            for split, paths in by_split.items():
                splits[split].extend(_ImageFile(path, label) for path in paths)
        _refuse_two_labels([file for files in splits.values() for file in files])
        refuse_shared([file.path for file in splits["train"]], [file.path for file in splits["test"]])
        return {split: sorted(files, key=self._order) for split, files in splits.items()}

    def _classes(self) -> Iterator[dict[Split, list[Path]]]:
        """Yield the files of each class by split."""
        for name in self._folder_names:
            if self._is_split:
                yield {split: self._images(folder / name) for split, folder in self._split_folders.items()}
            else:
                yield _hold_out(self._images(self.root / name), self.root / name)

    def _class_folders(self, root: Path) -> list[Path]:
        entries = visible_entries(root)
        for path in entries:
            if not path.is_dir():
                raise ValueError(f"{printable(path)} is not a class folder; move it out of {printable(root)}")
        return entries

    def _images(self, folder: Path) -> list[Path]:
        listing = list_files(folder, IMAGE_SUFFIXES, deep=False)
        with os.scandir(folder) as entries:
            for entry in entries:
                is_image = os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES and not is_folder(entry)
                if not is_image and not is_hidden(entry.name):
                    allowed = ", ".join(IMAGE_SUFFIXES)
                    raise ValueError(f"{printable(entry.path)} is not an image file; allowed: {allowed}")
        if not listing.files:
            raise ValueError(f"{printable(folder)} is a class without images; add some or remove the folder")
        warn_left_out(folder, [listing])
        return listing.files

    def _name(self, file: _ImageFile) -> str:
        return file.path.relative_to(self.root).as_posix()

    def _order(self, file: _ImageFile) -> str:
        return hashlib.sha256(os.fsencode(self._name(file))).hexdigest()


class UnlabelledSource(FolderSource):
    """Source of images without labels, at any depth, which count as one class.

    They lie in `<root>/{train,test}`, or anywhere in `<root>` with every tenth image, in natural order, for testing.
    Files of other kinds are left out, and counted in a warning.
    """

    @property
    def class_names(self) -> Sequence[str]:
        """The one class that all images count as."""
        return ("image",)

    def _classes(self) -> Iterator[dict[Split, list[Path]]]:
        folders = find_split_folders(self.root)
        if not folders:
            yield _hold_out(self._images(self.root), self.root)
            return
        if set(folders) != {"train", "test"}:
            names = ", ".join(path.name for path in folders.values())
            raise ValueError(f"{printable(self.root)} holds {names}; expected train and test, or neither")
        yield {split: self._images(folder) for split, folder in folders.items()}

    def _images(self, folder: Path) -> list[Path]:
        listing = list_files(folder, IMAGE_SUFFIXES)
        if not listing.files:
            raise ValueError(f"{printable(folder)} holds no images; allowed: {', '.join(IMAGE_SUFFIXES)}")
        warn_left_out(folder, [listing])
        return listing.files
