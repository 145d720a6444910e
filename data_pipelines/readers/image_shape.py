"""The shape that pictures are brought to."""

from typing import NamedTuple


class ImageShape(NamedTuple):
    """Shape of one image."""

    channels: int
    height: int
    width: int
