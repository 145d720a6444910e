"""CIFAR-100 as its authors distribute it: Python pickles."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_pipelines.contract.pipeline import Split
from data_pipelines.images.cifar10 import load_dict, read_names, read_pickled_images
from data_pipelines.images.sources import LabelledImages

FOLDER_NAME = "cifar-100-python"
_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_NAMES.split())
"""The fine names in the order of the labels."""
NUM_CLASSES = len(CIFAR100_CLASSES)
_FILES: dict[Split, str] = {"train": "train", "test": "test"}


def find_cifar100(path: Path) -> "Cifar100Source":
    """Return the reader of the pickles at `path` or in its usual subfolder; ValueError names the missing files."""
    for folder in (path, path / FOLDER_NAME):
        if all((folder / name).is_file() for name in ("train", "test", "meta")):
            return Cifar100Source(folder)
    raise ValueError(f"{path} holds no CIFAR-100: expected {FOLDER_NAME}/ with the files train, test and meta in it")


class Cifar100Source:
    """Source of 32x32 colour images with their fine labels, in batches of any length, in the order of the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def class_names(self) -> tuple[str, ...]:
        """The hundred fine names, in the order of the labels."""
        path = self.folder / "meta"
        names = read_names(path, "fine_label_names")
        if len(names) != NUM_CLASSES:
            raise ValueError(f"{path}: names {len(names)} classes, expected {NUM_CLASSES}")
        return names

    def num_rows(self) -> dict[Split, int]:
        return {split: len(self._read(split).labels) for split in _FILES}

    def read(self, split: Split, start_row: int) -> Iterator[LabelledImages]:
        part = self._read(split)
        yield LabelledImages(part.images[start_row:], part.labels[start_row:])

    def files(self) -> list[Path]:
        return [self.folder / name for name in (*_FILES.values(), "meta")]

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        return {}

    def content_hash(self) -> str:
        digest = hashlib.sha256()
        for file in self.files():
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def _read(self, split: Split) -> LabelledImages:
        path = self.folder / _FILES[split]
        content = load_dict(path, "data", "fine_labels")
        return read_pickled_images(path, content["data"], content["fine_labels"], num_classes=NUM_CLASSES)
