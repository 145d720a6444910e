"""Clips whose training rows hold latents: the frozen autoencoder encodes every frame once, when data are prepared."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_pipelines.contract.config import OnBadFile
from data_pipelines.contract.pipeline import DataPipeline, DataSpec, Split
from data_pipelines.contract.row_draws import NumpyDraws, TorchDraws
from data_pipelines.prepared.byte_columns import bytes_of, offsets_of, values_of
from data_pipelines.prepared.manifest import load_manifest, read_manifest
from data_pipelines.storage.folder import Folder
from data_pipelines.video.batch import PackedClips, WindowBatch
from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline
from trainables.workloads.video_prediction.autoencoder import given_folder, hash_autoencoder, read_shape
from trainables.workloads.video_prediction.config import Latents

if TYPE_CHECKING:
    import torch

    from trainables.workloads.video_prediction.spaces.latents import LatentSpace

_log = logging.getLogger(__name__)
_RULES = 1
"""Version of the rules that turn frames into latents; increased when a rule changes."""
_ANY = "(any)"


class LatentPipeline(DataPipeline[PackedClips]):
    """Pipeline of the clips of `VideoPipeline`, with latents in the training rows.

    Rows of the training split hold the scaled posterior of each frame, little-endian float32 in the order frame, means
    before deviations, channel, row, column; other rows hold the frames themselves, which predictions are compared with.
    """

    aliases_rows = True

    def __init__(self, settings: Latents, data: VideoData) -> None:
        self._settings, self._frames = settings, VideoPipeline(data)
        self._folder = given_folder(settings.weights)

    def __reduce__(self) -> tuple[Any, ...]:
        return LatentPipeline, (self._settings, self._frames.data)

    @property
    def key(self) -> str:
        """The key of the frames, after a digest of the autoencoder and the scale."""
        content = json.dumps([_RULES, self._autoencoder_hash, self._settings.scale])
        key = f"latents-{hashlib.sha256(content.encode()).hexdigest()[:8]}-{self._frames.key}"
        if key.endswith(_ANY):  # no raw data are named, so the key comes from the folder prepared before
            manifest = read_manifest(self.prepared) if self.prepared else None
            if manifest is not None and manifest.pipeline.startswith(key.removesuffix(_ANY)):
                return manifest.pipeline
        return key

    @property
    def prepared(self) -> Folder | None:
        return self._frames.prepared

    @property
    def source(self) -> str:
        return f"{self._frames.source}, training clips encoded by {self._folder}"

    @property
    def schema(self) -> pa.Schema:
        return self._frames.schema.append(pa.field("latents", pa.large_binary(), nullable=False))

    def data_spec(self) -> DataSpec:
        """Return the data spec of the frames, and `autoencoder`; from the prepared folder when there is one."""
        if self.prepared is not None and read_manifest(self.prepared) is not None:
            return load_manifest(self.prepared, self).data_spec
        autoencoder = {"sha256": self._autoencoder_hash, "scale": self._settings.scale}
        return {**self._frames.data_spec(), "autoencoder": autoencoder}

    def nominal_rows(self) -> dict[Split, int]:
        return self._frames.nominal_rows()

    def source_hash(self) -> str:
        return hashlib.sha256(f"{self._frames.source_hash()}\n{self._autoencoder_hash}".encode()).hexdigest()

    @property
    def on_bad_file(self) -> OnBadFile:
        return self._frames.on_bad_file

    def raw_files(self) -> Sequence[Path]:
        """Return the files of the frames; the autoencoder is part of the key."""
        return self._frames.raw_files()

    def raw_roots(self) -> Sequence[Path]:
        return self._frames.raw_roots()

    def num_raw_rows(self) -> dict[Split, int]:
        return self._frames.num_raw_rows()

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        """Yield rows; training clips are encoded, on an accelerator when there is one, which is freed afterwards."""
        space = self._load_space() if split == "train" else None
        for table in self._frames.read_raw(split, start_row):
            nothing = [b""] * table.num_rows
            if space is not None:
                yield self._table(table, frames=nothing, latents=self._encode(table, space))
            else:
                yield self._table(table, frames=table["frames"], latents=nothing)

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError unless frames are valid, or latents are finite, one per frame, with room for a window."""
        if not _has_latents(table):
            self._frames.check(table, data_spec=data_spec, file=file, first_row=first_row)
            return
        from data_pipelines.video.sources import refuse_short

        offsets, values = offsets_of(table["latents"]), bytes_of(table["latents"]).view("<f4")
        clips = zip(table["name"].to_pylist(), table["num_frames"].to_pylist(), strict=True)
        for row, (name, length) in enumerate(clips):
            where, found = f"{file}: row {first_row + row}", offsets[row + 1] - offsets[row]
            if found != length * 4 * np.prod(self._shape):
                raise ValueError(f"{where} has {found} bytes of latents, not those of its {length} frames")
            if not np.isfinite(values[offsets[row] // 4 : offsets[row + 1] // 4]).all():
                raise ValueError(f"{where} holds latents that are not finite")
            refuse_short(f"{name} (row {first_row + row} of {file})", length, self._frames.data)

    def collate(self, table: pa.Table) -> PackedClips:
        """Return the batch of rows that hold frames."""
        return self._frames.collate(table)

    def collate_train(self, table: pa.Table, draws: NumpyDraws) -> WindowBatch:
        """Cut the posteriors, float32 [batch, time, moments, h, w], in the same windows as frames would be."""
        clips = [latents.view("<f4").reshape(-1, *self._shape) for latents in values_of(table["latents"])]
        return self._frames.cut_windows(clips, draws)

    def augment(self, batch: WindowBatch, *, draws: TorchDraws) -> WindowBatch:
        """Return latents: samples of the posteriors, or their means."""
        from trainables.workloads.video_prediction.spaces.latents import take_latents

        return {name: take_latents(each, self._settings.posterior, draws) for name, each in batch.items()}

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        """Return training rows with normal means and small deviations."""
        table = self._frames.make_fake_rows(num_rows, seed)
        random, latents = np.random.default_rng(seed), []
        for length in table["num_frames"].to_pylist():
            moments = random.normal(size=(length, *self._shape)).astype("<f4")
            moments[:, self._shape[0] // 2 :] = 0.01
            latents.append(moments.tobytes())
        return self._table(table, frames=[b""] * num_rows, latents=latents)

    def _table(self, clips: pa.Table, *, frames: Any, latents: list[bytes]) -> pa.Table:
        columns = {"name": clips["name"], "num_frames": clips["num_frames"], "frames": frames, "latents": latents}
        return pa.table(columns, schema=self.schema)

    def _load_space(self) -> "LatentSpace":
        from trainables.workloads.video_prediction.spaces.latents import LatentSpace

        return LatentSpace(self._settings, height=self._frames.data.height, width=self._frames.data.width)

    def _encode(self, table: pa.Table, space: "LatentSpace") -> list[bytes]:
        batch = self._frames.collate(table)
        clips = batch["frames"].split(batch["length"].tolist())
        return [space.moments(clip.to(self._device)).cpu().numpy().astype("<f4").tobytes() for clip in clips]

    @cached_property
    def _device(self) -> "torch.device":
        """Device that encodes frames."""
        import torch

        if torch.cuda.is_available():
            return torch.device("cuda")
        _log.warning(
            "this machine has no GPU, so the autoencoder encodes the %d training frames on the CPU, which may take "
            "long; run `prepare` where there is one, or set `latents.is_stored` to false",
            self._frames.num_raw_frames("train"),
        )
        return torch.device("cpu")

    @cached_property
    def _autoencoder_hash(self) -> str:
        return hash_autoencoder(self._folder)

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        """Shape of one frame's posterior."""
        shape, data = read_shape(self._folder), self._frames.data
        return 2 * shape.latent_channels, data.height // shape.factor, data.width // shape.factor


def _has_latents(table: pa.Table) -> bool:
    return offsets_of(table["latents"])[-1] > 0
