"""Settings of the clips for video prediction."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from data_pipelines.contract.config import Config, FolderUri, OnBadFile, RawPath


class BouncingDigits(Config):
    """Generated clips in the manner of Moving MNIST (Srivastava et al. 2015)."""

    num_train_clips: int = Field(default=1000, ge=1)
    """Clips to train on."""
    num_test_clips: int = Field(default=100, ge=1)
    """Clips to test on."""
    num_frames: int = Field(default=20, ge=2)
    """Frames of a clip."""
    num_digits: int = Field(default=2, ge=1, le=10)
    """Digits in a clip."""
    digit_size: int = Field(default=28, ge=4)
    """Side of a digit in pixels; digits are enlarged to it by bilinear interpolation."""
    speed: float = Field(default=0.1, gt=0, le=1)
    """Distance moved in one frame, as a share of the range that a digit can move in."""
    seed: int = Field(default=0, ge=0)
    """Of the clips."""


class VideoData(Config):
    """Settings of the clips to read, and of the windows of past and future frames cut from them."""

    source: Literal["bouncing_digits", "moving_mnist", "frames", "videos", "bench2drive", "nuscenes"] = (
        "bouncing_digits"
    )
    """`bouncing_digits`: generated, of scikit-learn's digits or of those in `path`, a file in the form
    of MNIST (`*-images-idx3-ubyte[.gz]`), whose last sixth is then kept for test clips. `moving_mnist`: the published
    `mnist_test_seq.npy`, uint8 (20, N, height, width), or a folder with it; with `train-images-idx3-ubyte[.gz]` beside
    it training clips are generated of those. `frames`: `[{train,val,test}/]<clip>/[any folder/]<frame>`, ordered by
    the number that ends a frame's name. `videos`: files at any depth, each a clip (needs PyAV). `bench2drive`:
    `<clip>/camera/<camera>/00000.jpg`. `nuscenes`: `{samples,sweeps}/<camera>/*__<microseconds>.jpg`."""
    camera: str | None = None
    """bench2drive and nuscenes only; null: rgb_front and CAM_FRONT."""
    path: RawPath | None = None
    """The raw data; needed by all but `bouncing_digits` until they are prepared."""
    prepared: FolderUri | None = None
    """Folder or URI of the prepared Parquet shards; by default made under the storage path."""
    on_bad_file: OnBadFile = "refuse"
    """Damaged raw files: `refuse` names all of them, `skip` leaves out their rows, and counts and names them."""
    height: int = Field(default=64, ge=8, le=2048)
    """Pixels that frames are resized to."""
    width: int = Field(default=64, ge=8, le=2048)
    """Frames are resized to cover `height` x `width`, and the middle is cut out."""
    channels: Literal[1, 3] | None = None
    """Null: 1 for digits and 3 for everything else."""
    num_past: int = Field(default=4, ge=1, le=64)
    """Frames that are given."""
    num_future: int = Field(default=4, ge=1, le=64)
    """Frames that are predicted."""
    sample_interval: int = Field(default=1, ge=1, le=1000)
    """The distance between two frames of a window, in frames of the clip: its true stride."""
    on_gap: Literal["refuse", "divide"] = "refuse"
    """frames only: a number that is missing between frames is refused, or divides the clip in two."""
    frames_per_s: float | None = Field(default=None, gt=0, le=1000)
    """videos only: take of each file this many frames for each second, those nearest in time, so that files of several
    rates have the same steps; a window's step is then `sample_interval` / `frames_per_s` seconds. null: all frames."""
    group: Annotated[int, Field(ge=1)] | str | None = None
    """What must not be in training and testing alike, such as a person or a scene: the level of a folder in the path of
    a clip, from 1, or a regular expression that finds it in a clip's name, such as `signer\\d+`. The last fifth of the
    groups is then for testing; folders train and test must not divide one. null: clips are split one by one."""
    max_clip_frames: int = Field(default=256, ge=2)
    """Longer clips are stored as several of equal length, each with room for a window, and no window crosses two: a
    complete stored clip travels to the training worker, which cuts one window of it."""
    horizontal_flip: bool = False
    """Mirror each training window with probability 1/2."""
    brightness: float = Field(default=0.0, ge=0, lt=1)
    """Multiply the grey levels of each training window by one factor from 1 - this to 1 + this."""
    digits: BouncingDigits = BouncingDigits()

    @property
    def num_channels(self) -> int:
        if self.channels is not None:
            return self.channels
        return 1 if self.source in ("bouncing_digits", "moving_mnist") else 3

    @property
    def camera_name(self) -> str:
        return self.camera or {"bench2drive": "rgb_front", "nuscenes": "CAM_FRONT"}.get(self.source, "")

    @property
    def window_frames(self) -> int:
        """Frames of a clip from the first to the last of a window, including those between them."""
        return self.frames_of(self.num_past + self.num_future)

    def frames_of(self, num_sampled: int) -> int:
        """Return the frames of a clip that hold this many sampled ones."""
        return (num_sampled - 1) * self.sample_interval + 1

    @model_validator(mode="after")
    def _clips_hold_a_window(self) -> Self:
        if self.max_clip_frames < self.window_frames:
            raise ValueError(
                f"`max_clip_frames` ({self.max_clip_frames}) must be at least the {self.window_frames} frames of a "
                f"window of {self.num_past} + {self.num_future} frames at sample_interval {self.sample_interval}"
            )
        return self

    @field_validator("group")
    @classmethod
    def _group_is_a_pattern(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, str):
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"{value!r} is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _settings_are_of_the_source(self) -> Self:
        if self.group is not None and self.source in ("bouncing_digits", "moving_mnist"):
            raise ValueError(f"`group` is for clips with names of their own, not for source: {self.source}")
        if self.on_gap != "refuse" and self.source != "frames":
            raise ValueError(f"`on_gap` is only for source: frames, not for {self.source}")
        if self.frames_per_s is not None and self.source != "videos":
            raise ValueError(f"`frames_per_s` is only for source: videos, not for {self.source}; use `sample_interval`")
        if self.camera is not None and self.source not in ("bench2drive", "nuscenes"):
            raise ValueError(f"`camera` is only for source: bench2drive and nuscenes, not for {self.source}")
        return self

    @model_validator(mode="after")
    def _digits_fit(self) -> Self:
        if self.source == "bouncing_digits" and self.digits.digit_size >= min(self.height, self.width):
            raise ValueError(
                f"`digits.digit_size` ({self.digits.digit_size}) must be below `height` ({self.height}) and `width` "
                f"({self.width}), or the digits have no room to move"
            )
        if self.source == "bouncing_digits" and self.digits.num_frames < self.window_frames:
            raise ValueError(
                f"`digits.num_frames` ({self.digits.num_frames}) must be at least the {self.window_frames} frames of "
                "a window; raise it, or lower `num_past`, `num_future` or `sample_interval`"
            )
        return self
