"""Split rules: which images are for training, validation and testing, by their order alone."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from data_pipelines.contract.pipeline import Split

Item = TypeVar("Item")

CLASS_RULE = "each class in natural order, counted from 0: odd ones test; 0, 20, 40, ... val; others train"
"""Of 21 classes with 100 images each it makes 945 for training, 105 for validation and 1,050 for testing."""
FOLDER_RULE = "in natural order, counted from 0: 9, 19, ... test; 4, 14, ... val; others train"
GIVEN_RULE = "as the folders say"
VAL_FROM_TRAIN_RULE = "as the folders say; of train, in natural order counted from 0: 4, 14, ... val"


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
