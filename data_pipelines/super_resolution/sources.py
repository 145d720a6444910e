"""Sources of super-resolution data: each lists its images, split by split, in a fixed order."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from data_pipelines.contract.pipeline import SPLITS, Split
from data_pipelines.prepared.sources.source_pipeline import require_path
from data_pipelines.prepared.sources.split_folders import find_split_folders
from data_pipelines.readers.file_listing import identity_of, refuse_shared
from data_pipelines.readers.natural_order import visible_entries
from data_pipelines.super_resolution.config import SuperResolutionData
from data_pipelines.super_resolution.image_lists import (
    CLASS_RULE,
    ImageEntry,
    ImageListing,
    find_images,
    list_by_folders,
    split_by_class_rule,
)
from data_pipelines.super_resolution.pair_layouts import is_flat_pair_folder, list_div2k, list_pairs

_PHOTOGRAPHS: dict[Split, tuple[str, ...]] = {
    "train": (
        "skimage/data/chelsea.png",
        "skimage/data/coffee.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/retina.jpg",
        "skimage/data/rocket.jpg",
        "sklearn/datasets/images/china.jpg",
    ),
    "val": ("skimage/data/astronaut.png", "sklearn/datasets/images/flower.jpg"),
    "test": ("skimage/data/hubble_deep_field.jpg", "skimage/data/ihc.png"),
}


def list_images(data: SuperResolutionData) -> ImageListing:
    """List the images of the settings' source; ValueError when they are missing or a split is empty."""
    if data.source == "photographs":
        return _list_photographs()
    path = require_path(data)
    listing = _LISTERS[data.source](path, data.scales)
    for split in ("train", "val"):
        if not listing.entries[split]:
            raise ValueError(f"{path} has no images for {split} (rule: {listing.rule}); add images")
    files = {split: [file for entry in listing.entries[split] for file in entry.files] for split in SPLITS}
    refuse_shared(files["train"], [*files["val"], *files["test"]])
    return listing


def _list_photographs() -> ImageListing:
    roots = {name: Path(str(find_spec(name).origin)).parent for name in ("skimage", "sklearn")}  # pyright: ignore
    entries: dict[Split, list[ImageEntry]] = {
        split: [ImageEntry(name, hr=roots[name.split("/")[0]].parent / name) for name in names]
        for split, names in _PHOTOGRAPHS.items()
    }
    return ImageListing(entries, "a fixed list")


def _list_classes(root: Path, scales: Sequence[int]) -> ImageListing:
    """List `<root>/Images/<class>/<image>` or `<root>/<class>/<image>`."""
    folder = root / "Images" if (root / "Images").is_dir() else root
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; expected one with a folder of images per class")
    classes = [path for path in visible_entries(folder) if path.is_dir()]
    if not classes:
        raise ValueError(f"{folder} has no class folders; for images without classes use source: folder")
    if {"train", "test"} <= set(find_split_folders(folder)):
        raise ValueError(f"{folder} holds the folders train and test, which are no classes; give source: folder")
    entries: dict[Split, list[ImageEntry]] = {split: [] for split in SPLITS}
    known: set[object] = set()
    for each in classes:
        new = [path for path in find_images(each) if identity_of(path) not in known]
        known |= {identity_of(path) for path in new}
        for split, paths in split_by_class_rule(_entries(new, root)).items():
            entries[split] += paths
    return ImageListing(entries, CLASS_RULE)


def _list_folder(root: Path, scales: Sequence[int]) -> ImageListing:
    for folder in (root, *find_split_folders(root).values()):
        if is_flat_pair_folder(folder):
            raise ValueError(
                f"{folder} holds images at high and at low resolution side by side, which are no images of one kind; "
                "give `workload.data.source: pairs`"
            )
    return list_by_folders(root, lambda folder: _entries(find_images(folder), root))


def _entries(paths: Sequence[Path], root: Path) -> list[ImageEntry]:
    return [ImageEntry(path.relative_to(root).as_posix(), hr=path) for path in paths]


_LISTERS: dict[str, Callable[[Path, Sequence[int]], ImageListing]] = {
    "uc_merced": _list_classes,
    "pairs": list_pairs,
    "div2k": list_div2k,
    "folder": _list_folder,
}
