"""Pipeline of video: stored clips of frames, and training windows."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import DataSpec, Split
from data_pipelines.contract.row_draws import NumpyDraws, TorchDraws
from data_pipelines.prepared.byte_columns import offsets_of, tensor_of, values_of
from data_pipelines.prepared.sources.source_pipeline import SourcePipeline
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.storage.checksums import hash_file
from data_pipelines.video.batch import PackedClips, WindowBatch, change_windows, cut_random_windows
from data_pipelines.video.config import VideoData

if TYPE_CHECKING:
    from jaxtyping import Shaped

    from data_pipelines.video.clips import ClipListing


class VideoPipeline(SourcePipeline[PackedClips]):
    """Pipeline of the clips in `VideoData`.

    Each row holds one clip, raw pixels in the order frame, channel, row, column. Windows are cut on the worker, so
    other windows need no other rows, unless they are so long that they decide how long clips are cut.
    """

    embedded = {"bouncing_digits": "clips generated from scikit-learn's digits"}
    aliases_rows = True

    def __init__(self, data: VideoData) -> None:
        self.data: VideoData = data

    @property
    def key_prefix(self) -> str:
        """`video-<source>-<size>`."""
        return f"video-{self.data.source}-{'x'.join(map(str, self._shape))}"

    @property
    def key_settings(self) -> list[Any]:
        """The length of a clip, the digits of generated clips, the camera, and what else decides on the frames."""
        data = self.data
        generated = data.digits.model_dump() if data.source in ("bouncing_digits", "moving_mnist") else {}
        settings: list[Any] = [data.max_clip_frames, generated, data.camera_name]
        on_gap = None if data.on_gap == "refuse" else data.on_gap
        further = {"frames_per_s": data.frames_per_s, "group": data.group, "on_gap": on_gap}
        given = {name: value for name, value in further.items() if value is not None}
        settings += [given] if given else []  # data prepared before there were these settings keep their key
        decides_cuts = 2 * data.window_frames > data.max_clip_frames  # parts of a clip could be too short for it
        return [*settings, data.window_frames] if decides_cuts else settings

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(
            [
                pa.field("name", pa.string(), nullable=False),
                pa.field("num_frames", pa.int32(), nullable=False),
                pa.field("frames", pa.large_binary(), nullable=False),
            ]
        )

    def raw_data_spec(self, *, has_raw: bool) -> DataSpec:
        """Return `channels`, `height`, `width`, `split_rule`, and `rate_hz` where it is known and the same."""
        if not has_raw:
            return {**self._shape._asdict(), "split_rule": "(no data yet)"}
        rate_hz = self._raw.rate_hz
        rate = {} if rate_hz is None else {"rate_hz": rate_hz}
        return {**self._shape._asdict(), "split_rule": self._raw.rule, **rate}

    def nominal_rows(self) -> dict[Split, int]:
        """Return the rows of Moving MNIST as it is published, with training clips generated."""
        if self.data.source != "moving_mnist":
            return {}
        return {"train": self.data.digits.num_train_clips, "test": 10_000}

    def source_hash(self) -> str:
        """Hash every raw file once, with its split and place; without files, hash the embedded digits."""
        if self.data.source == "bouncing_digits" and self.data.path is None:
            from data_pipelines.video.bouncing_digits import hash_embedded_digits

            return hash_embedded_digits()
        digest = hashlib.sha256()
        root = self.data.path or Path("/")
        for split, files in self._files_by_split().items():
            for path in files:
                place = path.relative_to(root) if path.is_relative_to(root) else path.name
                digest.update(os.fsencode(f"{split}\n{place}\n"))
                digest.update(bytes.fromhex(hash_file(path)) if path.is_file() else b"unreadable")
        return digest.hexdigest()

    def list_raw_files(self) -> Sequence[Path]:
        return list(dict.fromkeys(path for files in self._files_by_split().values() for path in files))

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        """Return the video files; frames may well be equal."""
        if self.data.source != "videos":
            return {}
        return self._files_by_split()

    def _files_by_split(self) -> dict[Split, list[Path]]:
        """Return the files of each split, each once; a file that is divided in time is in two."""
        clips = self._raw.clips.items()
        return {split: list(dict.fromkeys(path for clip in found for path in clip.files)) for split, found in clips}

    def num_raw_rows(self) -> dict[Split, int]:
        return {split: len(clips) for split, clips in self._raw.clips.items()}

    def num_raw_frames(self, split: Split) -> int:
        """Return the frames of all clips of a split."""
        return sum(clip.num_frames for clip in self._raw.clips[split])

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        for clip in self._raw.clips[split][start_row:]:
            frames = clip.read(self._shape)
            assert frames.shape[1:] == self._shape and frames.dtype == np.uint8, clip.name
            yield self._table([clip.name], [frames])

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError unless every clip has as many bytes as its frames require, and room for a window."""
        from data_pipelines.video.sources import refuse_short

        num_frames = table["num_frames"].to_numpy().astype(np.int64)
        expected = num_frames * data_spec["channels"] * data_spec["height"] * data_spec["width"]
        found = np.diff(offsets_of(table["frames"]))
        wrong = np.flatnonzero((found != expected) | (expected <= 0))
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(f"{file}: row {first_row + row} has {found[row]} bytes, expected {expected[row]}")
        for row, name in enumerate(table["name"].to_pylist()):
            refuse_short(f"clip {name} (row {first_row + row} of {file})", int(num_frames[row]), self.data)

    def collate(self, table: pa.Table) -> PackedClips:
        """Return the frames of complete clips as they lie in the table, without a copy."""
        import torch

        frames = tensor_of(table["frames"]).view(-1, *self._shape)
        return {"length": torch.from_numpy(table["num_frames"].to_numpy().astype(np.int64)), "frames": frames}

    def collate_train(self, table: pa.Table, draws: NumpyDraws) -> WindowBatch:
        """Cut one random window of each clip."""
        return self.cut_windows([frames.reshape(-1, *self._shape) for frames in values_of(table["frames"])], draws)

    def cut_windows(self, clips: "Sequence[Shaped[np.ndarray, 'frames ...']]", draws: NumpyDraws) -> WindowBatch:
        """Cut one random window of each clip; the clips may hold frames or latents."""
        data = self.data
        return cut_random_windows(
            clips, num_past=data.num_past, num_future=data.num_future, stride=data.sample_interval, draws=draws
        )

    def augment(self, batch: WindowBatch, *, draws: TorchDraws) -> WindowBatch:
        """Mirror and brighten windows as the settings ask."""
        data = self.data
        if not (data.horizontal_flip or data.brightness):
            return batch
        return change_windows(batch, flips=data.horizontal_flip, brightness=data.brightness, draws=draws)

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        """Return uniformly random pixels; clips of a few different lengths, a little longer than a window."""
        random = np.random.default_rng(seed)
        lengths = [self.data.window_frames + row % 3 for row in range(num_rows)]
        frames = [random.integers(0, 256, size=(length, *self._shape), dtype=np.uint8) for length in lengths]
        return self._table([f"made-up-{row}" for row in range(num_rows)], frames)

    @cached_property
    def _raw(self) -> "ClipListing":
        from data_pipelines.video.sources import list_clips  # imports Pillow, which no reader of shards needs

        return list_clips(self.data)

    @property
    def _shape(self) -> "ImageShape":

        return ImageShape(self.data.num_channels, self.data.height, self.data.width)

    def _table(self, names: list[str], frames: list[np.ndarray]) -> pa.Table:
        columns = {
            "name": names,
            "num_frames": [len(clip) for clip in frames],
            "frames": [clip.tobytes() for clip in frames],
        }
        return pa.table(columns, schema=self.schema)
