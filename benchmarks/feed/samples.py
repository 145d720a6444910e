"""Rows as samples of other formats, and batches of them, made by the code that makes ours.

A sample holds what a stored row does: pixels as bytes, sizes and classes as numbers. A recording, whose row has lists,
is one string of bytes in Arrow's own format.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from data_pipelines.contract.pipeline import DataPipeline
from data_pipelines.contract.row_draws import NumpyDraws, numpy_draws
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.ray_dataset import ShardedSplit
from data_pipelines.super_resolution.batch import CHANNELS, StoredPair, cut_patches
from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from data_pipelines.video.pipeline import VideoPipeline

Sample = dict[str, Any]
RECORDINGS = 16
"""Recordings that are read at once; each gives many rows."""


def samples_of(split: ShardedSplit, pipeline: DataPipeline) -> Iterator[Sample]:
    """Yield all stored rows of a split."""
    for shard in split.shards:
        with split.folder.fs.open_input_file((split.folder / shard.name).path) as file:
            table = pq.read_table(file, schema=pipeline.schema)
        for first in range(table.num_rows):
            yield sample_of(table.slice(first, 1), pipeline)


def sample_of(row: pa.Table, pipeline: DataPipeline) -> Sample:
    """Return a stored row as a sample."""
    if not isinstance(pipeline, HeartPipeline):
        return {name: value for name, value in row.to_pylist()[0].items() if name != "name"}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, row.schema) as writer:
        writer.write_table(row.combine_chunks())
    return {"row": sink.getvalue().to_pybytes()}


class Collator:
    """Maker of batches from lists of samples; parts are cut at random by draws that are made once for each size."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._draws: dict[int, NumpyDraws] = {}

    def __call__(self, samples: Sequence[Sample]) -> Any:
        pipeline = self._pipeline
        if isinstance(pipeline, ImagePipeline):
            pixels = np.stack([np.frombuffer(sample["image"], np.uint8) for sample in samples])
            label = torch.tensor([sample["label"] for sample in samples])
            return {"image": torch.from_numpy(pixels).reshape(-1, *pipeline.shape), "label": label}
        if isinstance(pipeline, SuperResolutionPipeline):
            return self._cut_patches(pipeline, samples)
        if isinstance(pipeline, VideoPipeline):
            data = pipeline.data
            shape = (-1, data.num_channels, data.height, data.width)
            clips = [np.frombuffer(sample["frames"], np.uint8).reshape(shape) for sample in samples]
            return pipeline.cut_windows(clips, self._draws_of(len(clips)))
        rows = pa.concat_tables([pa.ipc.open_stream(sample["row"]).read_all() for sample in samples])
        return pipeline.collate(pipeline.decode(rows).combine_chunks())

    def _cut_patches(self, pipeline: SuperResolutionPipeline, samples: Sequence[Sample]) -> Any:
        data, draws = pipeline.data, self._draws_of(len(samples))
        scale, pairs = data.scales[0], []
        for sample in samples:
            height, width = sample["height"], sample["width"]
            low_height, low_width = height // scale, width // scale
            hr = np.frombuffer(sample["hr"], np.uint8).reshape(height, width, CHANNELS)
            lr = np.frombuffer(sample[f"lr_x{scale}"], np.uint8).reshape(low_height, low_width, CHANNELS)
            pairs.append(StoredPair(lr, hr[: low_height * scale, : low_width * scale]))
        return cut_patches(pairs, scale, data.lr_patch_size, is_augmented=data.is_augmented, draws=draws)

    def _draws_of(self, count: int) -> NumpyDraws:
        if count not in self._draws:
            self._draws[count] = numpy_draws(count, torch.initial_seed() % 2**32)
        return self._draws[count]


def rebatch(batches: Iterator[dict[str, torch.Tensor]], batch_size: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield whole batches of a size from batches of any size."""
    waiting: list[dict[str, torch.Tensor]] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += len(next(iter(batch.values())))
        if count < batch_size:
            continue
        rows = {name: torch.cat([each[name] for each in waiting]) for name in batch}
        whole = count // batch_size * batch_size
        for first in range(0, whole, batch_size):
            yield {name: tensor[first : first + batch_size] for name, tensor in rows.items()}
        waiting, count = [{name: tensor[whole:] for name, tensor in rows.items()}], count - whole
