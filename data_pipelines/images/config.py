"""Settings of the labelled images that flow matching and pruning read."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config, FolderUri, OnBadFile, RawPath

Side = Annotated[int, Field(ge=4, le=4096)]
"""Pixels."""


class ImageData(Config):
    """Settings of the labelled images to read."""

    source: Literal["digits", "cifar10", "cifar100", "folder", "unlabelled"] = "digits"
    """`digits`: scikit-learn's 1,797 handwritten digits, 8x8, grey (embedded). `cifar10`: the python or the binary
    form. `cifar100`: the python form, fine labels. `folder`: `<path>/<class>/<image>` or
    `<path>/{train,test}/<class>/<image>`; .png, .jpg, .jpeg, .bmp, .tif. `unlabelled`: such images at any depth, of one
    class, in `<path>` or in `<path>/{train,test}`."""
    path: RawPath | None = None
    """The raw data; needed by all but `digits` until they are prepared."""
    prepared: FolderUri | None = None
    """Folder or URI of the prepared Parquet shards; by default made under the storage path."""
    on_bad_file: OnBadFile = "refuse"
    """Damaged raw files: `refuse` names all of them, `skip` leaves out their rows, and counts and names them."""
    size: Side | tuple[Side, Side] | None = None
    """Pixels that images of `folder` and `unlabelled` are resized and centre-cropped to, which need it: the side of a
    square, or height and width, such as [48, 64]."""
    channels: Literal[1, 3] = 3
    """`folder` and `unlabelled` only: 1 for grey, 3 for RGB."""
    horizontal_flip: bool = False
    """Flip half of the training images left to right."""
    crop_padding: int = Field(default=0, ge=0, le=64)
    """Pad the training images by this many black pixels on each side and cut out a random window of their own size."""
    validation_ratio: float = Field(default=0.0, ge=0, lt=1)
    """This share of the training rows, the last ones in stored order, becomes the split `val`: with 0.1, CIFAR gives
    45,000, 5,000 and 10,000 rows."""

    @property
    def validation_rule(self) -> str:
        """The rule in words, for the manifest."""
        return f"the last {100 * self.validation_ratio:g} % of the training rows in stored order, rounded down"

    @model_validator(mode="after")
    def _fits_the_source(self) -> Self:
        if self.source == "digits" and self.path is not None:
            raise ValueError("`path` is not read by source: digits; name the `source` of what lies there")
        if self.holds_files and self.size is None:
            raise ValueError(
                f"`size` is needed with source: {self.source}; give the side in pixels, for example size: 32"
            )
        if not self.holds_files and self.size is not None:
            raise ValueError(f"`size` is only for source: folder or unlabelled; {self.source} has a fixed size")
        return self

    @property
    def holds_files(self) -> bool:
        """Whether each image is a file of its own, of any size."""
        return self.source in ("folder", "unlabelled")
