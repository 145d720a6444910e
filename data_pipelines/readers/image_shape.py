"""The shape to which images are resized."""

from typing import NamedTuple


class ImageShape(NamedTuple):
    """Shape of one image."""

    channels: int
    height: int
    width: int
