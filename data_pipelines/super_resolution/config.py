"""Settings of the images for super-resolution."""

from typing import Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config, FolderUri, OnBadFile, RawPath

Scale = Literal[2, 3, 4, 8]


class SuperResolutionData(Config):
    """Settings of the images to read, and of the training patches cropped from them."""

    source: Literal["photographs", "uc_merced", "pairs", "div2k", "folder"] = "photographs"
    """`photographs`: colour photographs that scikit-image and scikit-learn bring along. `uc_merced`: the raw data,
    `[Images/]<class>/<image>`, of any such class folders. `pairs`: `[{train,val,test}/]{HR_x4,LR_x4,...}/<image>`,
    or one `HR` beside the `LR_x4`, or `x4/{HR,LR}`, or as Set5 is spread; low resolution as given. `div2k`: the
    folders `DIV2K_train_HR` and `DIV2K_valid_HR`, with `DIV2K_*_LR_bicubic/X4` when they are there. `folder`:
    `[{train,val,test}/]` with images at any depth. But for `pairs` and `div2k`, low resolution is made by bicubic
    resizing as MATLAB does it."""
    path: RawPath | None = None
    """The raw data; needed by all but `photographs` until they are prepared."""
    prepared: FolderUri | None = None
    """Folder or URI of the prepared Parquet shards; by default made under the storage path."""
    on_bad_file: OnBadFile = "refuse"
    """Damaged raw files: `refuse` names all of them, `skip` leaves out their rows, and counts and names them."""
    scales: tuple[Scale, ...] = Field(default=(4,), min_length=1)
    """Factors to train. Every training step takes one of them at random, on all workers; metrics of the
    first have the plain names."""
    lr_patch_size: int = Field(default=48, ge=8, le=1024)
    """Side of a training patch in low-resolution pixels; times the scale it is the usual `patch_size`. Smaller images
    are continued by their mirror image."""
    is_augmented: bool = True
    """Turn and mirror each training patch into one of its eight dihedral states."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source == "photographs" and self.path is not None:
            raise ValueError("`path` is not read by source: photographs; name the `source` of what lies there")
        if len(set(self.scales)) != len(self.scales):
            raise ValueError(f"`scales` are {list(self.scales)}; name each scale once")
        return self
