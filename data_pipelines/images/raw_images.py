"""Raw images of the settings: the reader of their source, with the validation split that they ask for."""

from data_pipelines.images.cifar10 import find_cifar10
from data_pipelines.images.cifar100 import find_cifar100
from data_pipelines.images.config import ImageData
from data_pipelines.images.sources import DigitsSource, ImageSource, WithValidation, raw_shape
from data_pipelines.prepared.sources.source_pipeline import require_path


def open_source(data: ImageData) -> ImageSource:
    """Return the reader for the settings; ValueError when nothing readable lies at `path`."""
    source = _open_raw(data)
    return WithValidation(source, data.validation_ratio) if data.validation_ratio else source


def _open_raw(data: ImageData) -> ImageSource:
    if data.source == "digits":
        return DigitsSource()
    path = require_path(data)
    if data.source == "cifar10":
        return find_cifar10(path)
    if data.source == "cifar100":
        return find_cifar100(path)
    from data_pipelines.images.class_folders import FolderSource, UnlabelledSource  # bring Pillow

    return (UnlabelledSource if data.source == "unlabelled" else FolderSource)(path, raw_shape(data))
