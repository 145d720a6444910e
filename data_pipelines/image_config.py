"""Settings of the labelled-image data that flow matching and pruning read."""

from typing import Literal, Self

from pydantic import Field, model_validator

from data_pipelines.config import Config, FilePath, InputPath


class ImageData(Config):
    """Which labelled images to read."""

    source: Literal["digits", "cifar10", "folder"] = "digits"
    """`digits`: scikit-learn's 1,797 handwritten digits, 8x8, grey (embedded). `cifar10`: the python or the binary
    form. `folder`: `<path>/<class>/<image>` or `<path>/{train,test}/<class>/<image>`; .png, .jpg, .jpeg, .bmp, .tif."""
    path: InputPath | None = None
    """The raw data; needed by `cifar10` and `folder` until they are prepared."""
    prepared: FilePath | None = None
    """Folder of the prepared Parquet shards; by default made under the storage path."""
    size: int | None = Field(default=None, ge=4, le=4096)
    """`folder` only: side in pixels that images are resized and centre-cropped to. Needed by `folder`."""
    channels: Literal[1, 3] = 3
    """`folder` only: 1 for grey, 3 for RGB."""
    horizontal_flip: bool = False
    """Flip half of the training images left to right."""

    @model_validator(mode="after")
    def _folder_needs_a_size(self) -> Self:
        if self.source == "folder" and self.size is None:
            raise ValueError("`size` is needed with source: folder; give the side in pixels, for example size: 32")
        if self.source != "folder" and self.size is not None:
            raise ValueError(f"`size` is only for source: folder; {self.source} has a fixed size")
        return self
