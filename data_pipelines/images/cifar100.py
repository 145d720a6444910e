"""CIFAR-100 as its authors distribute it: Python pickles."""

from pathlib import Path

from data_pipelines.images.cifar10 import PickledCifar10

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


def find_cifar100(path: Path) -> "Cifar100Source":
    """Return the reader of the pickles at `path` or in its usual subfolder; ValueError names the missing files."""
    for folder in (path, path / Cifar100Source.folder_name):
        if all((folder / name).is_file() for name in Cifar100Source.all_files()):
            return Cifar100Source(folder)
    expected = f"{Cifar100Source.folder_name}/ with the files train, test and meta in it"
    raise ValueError(f"{path} holds no CIFAR-100: expected {expected}")


class Cifar100Source(PickledCifar10):
    """`cifar-100-python`: the same pickles; its images with their fine labels."""

    folder_name = "cifar-100-python"
    train_files = ("train",)
    test_file = "test"
    names_file = "meta"
    labels_key = "fine_labels"
    names_key = "fine_label_names"
    num_classes = len(CIFAR100_CLASSES)
