"""Pipeline of reflow's pairs: noise and the image that a trained model makes of it (Liu et al. 2022, section 2.2)."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import DataPipeline, DataSpec, Split
from data_pipelines.storage.checksums import hash_file
from data_pipelines.storage.folder import Folder
from trainables.workloads.flow_matching.config import Reflow
from trainables.workloads.flow_matching.reflow.batch import ReflowBatch
from trainables.workloads.flow_matching.reflow.teacher import METADATA, WEIGHTS, TeacherCard, find_file, read_card

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.workloads.flow_matching.reflow.pair_generator import PairSource

PAIRS_PER_CHUNK = 256
"""Pairs generated together; the noise of a chunk depends on its index alone, so any chunk can be generated again."""


class ReflowPipeline(DataPipeline[ReflowBatch]):
    """Pairs made by the teacher; `images` is the pipeline of the real images, which must be those of the teacher.

    Pairs are not augmented: a flipped image is not what the teacher makes of the noise.
    """

    collates_by_row = True

    def __init__(self, settings: Reflow, images: DataPipeline[Any]) -> None:
        self._settings = settings
        self._images = images

    @property
    def key(self) -> str:
        """`reflow-<digest>` of the teacher's weights and of all settings that change the pairs."""
        settings = self._settings.model_dump(mode="json", exclude={"teacher", "prepared"})
        if settings["sampling"]["shift"] == 1:  # pairs that were made before there was this setting keep their key
            del settings["sampling"]["shift"]
        text = json.dumps([self.source_hash(), settings, PAIRS_PER_CHUNK], sort_keys=True)
        return f"reflow-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    @property
    def prepared(self) -> Folder | None:
        return Folder(self._settings.prepared) if self._settings.prepared else None

    @property
    def source(self) -> str:
        return f"{self._settings.num_pairs} pairs by the teacher {self._settings.teacher}"

    @property
    def schema(self) -> pa.Schema:
        """Columns `x0`, `x1` and `label`.

        The first two are little-endian float32 values in the order channel, row, column.
        """
        num_bytes = 4 * int(np.prod(self._shape))
        fields = [("x0", pa.binary(num_bytes)), ("x1", pa.binary(num_bytes)), ("label", pa.int64())]
        return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])

    def data_spec(self) -> DataSpec:
        """Return the teacher's data spec; ValueError when the settings describe other images than it was trained on."""
        data_spec, real = self._card.data_spec, self._images.data_spec()
        differing = [key for key in data_spec if key in real and data_spec[key] != real[key]]
        if differing:
            raise ValueError(
                f"the teacher {self._settings.teacher} was trained on other images than `data` describes; "
                f"different: {', '.join(differing)}; set `data` as in the teacher's run"
            )
        return data_spec

    def source_hash(self) -> str:
        return self._source_hash

    def num_raw_rows(self) -> dict[Split, int]:
        return {"train": self._settings.num_pairs}

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        """Yield one table for each chunk; runs the teacher, on an accelerator when there is one.

        From a row inside a chunk on, the complete chunk is generated again, since dopri5's steps depend on the chunk.
        """
        if split != "train":
            return
        with closing(self._open_teacher()) as source:
            for index in range(start_row // PAIRS_PER_CHUNK, -(-self._settings.num_pairs // PAIRS_PER_CHUNK)):
                first_row = index * PAIRS_PER_CHUNK
                pairs = source.make(index, min(PAIRS_PER_CHUNK, self._settings.num_pairs - first_row))
                yield self._table(pairs).slice(max(0, start_row - first_row))

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError unless noise is finite, images are in [-1, 1], and labels are those of a class."""
        num_classes = len(data_spec["class_names"])
        x_0, x_1 = _floats(table, "x0"), _floats(table, "x1")
        is_bad = ~np.isfinite(x_0).all(axis=1) | ~(np.abs(x_1) <= 1).all(axis=1)  # NaN fails any comparison
        label = table["label"].to_numpy()
        is_bad |= (label < 0) | (label >= num_classes)
        if is_bad.any():
            row = first_row + int(is_bad.argmax())
            raise ValueError(
                f"{file}: row {row} holds a value out of range; noise must be finite, images -1 to 1, "
                f"labels 0 to {num_classes - 1}"
            )

    def collate(self, table: pa.Table) -> ReflowBatch:
        import torch

        shape = (-1, *self._shape)
        return {
            "image": torch.from_numpy(_floats(table, "x1").reshape(shape)),
            "noise": torch.from_numpy(_floats(table, "x0").reshape(shape)),
            "label": torch.from_numpy(table["label"].to_numpy().copy()),
        }

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        import torch

        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(num_rows, *self._shape, generator=generator)
        label = torch.randint(len(self._card.data_spec["class_names"]), (num_rows,), generator=generator)
        return self._table({"image": noise.tanh(), "noise": noise, "label": label})

    @property
    def _shape(self) -> tuple[int, int, int]:
        data_spec = self._card.data_spec
        return data_spec["channels"], data_spec["height"], data_spec["width"]

    @cached_property
    def _card(self) -> TeacherCard:
        return read_card(self._settings.teacher)

    @cached_property
    def _source_hash(self) -> str:
        digest = hashlib.sha256()
        for name in (METADATA, WEIGHTS):
            digest.update(bytes.fromhex(hash_file(find_file(self._settings.teacher, name))))
        return digest.hexdigest()

    def _open_teacher(self) -> "PairSource":
        from trainables.workloads.flow_matching.reflow.pair_generator import PairSource

        return PairSource(self._settings, self._card)

    def _table(self, pairs: ReflowBatch) -> pa.Table:
        columns = [_binary(pairs["noise"]), _binary(pairs["image"]), pa.array(pairs["label"].numpy())]
        return pa.table(columns, schema=self.schema)


def _binary(values: "Tensor") -> pa.Array:
    rows = values.flatten(1).contiguous().numpy().astype("<f4", copy=False)
    kind = pa.binary(4 * rows.shape[1])
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(rows), [None, pa.py_buffer(rows.tobytes())])


def _floats(table: pa.Table, name: str) -> np.ndarray:
    """Return a float32 column as a writable array, [rows, values]."""
    column = table[name].combine_chunks()
    width = column.type.byte_width // 4
    values = np.frombuffer(column.buffers()[1], dtype="<f4")
    first = column.offset * width
    return values[first : first + len(column) * width].reshape(-1, width).astype(np.float32)
