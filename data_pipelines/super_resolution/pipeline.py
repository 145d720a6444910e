"""Pipeline of super-resolution: stored complete images at high and low resolution, and training patches."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from data_pipelines.contract.pipeline import SPLITS, DataSpec, Split
from data_pipelines.contract.row_draws import NumpyDraws
from data_pipelines.prepared.byte_columns import offsets_of, tensor_of
from data_pipelines.prepared.sources.source_pipeline import SourcePipeline
from data_pipelines.readers.bad_file import content_of, printable
from data_pipelines.super_resolution.batch import CHANNELS, PackedImages, PatchBatch, cut_patches, pairs_of
from data_pipelines.super_resolution.config import SuperResolutionData

if TYPE_CHECKING:
    from data_pipelines.super_resolution.image_lists import ImageListing
    from data_pipelines.super_resolution.rows import ScaledImage


class SuperResolutionPipeline(SourcePipeline[PackedImages]):
    """Pipeline of the images in `SuperResolutionData`.

    Each row holds one complete image, raw pixels in the order row, column, channel, at high resolution and at the low
    resolution of every scale.
    """

    embedded = {"photographs": "photographs of scikit-image and scikit-learn"}
    aliases_rows = True

    def __init__(self, data: SuperResolutionData) -> None:
        self.data: SuperResolutionData = data

    @property
    def key_prefix(self) -> str:
        """`sr-<source>-<scales>`."""
        return f"sr-{self.data.source}-" + "".join(f"x{scale}" for scale in self.data.scales)

    @property
    def schema(self) -> pa.Schema:
        pixels = ["hr", *(f"lr_x{scale}" for scale in self.data.scales)]
        return pa.schema(
            [
                pa.field("name", pa.string(), nullable=False),
                pa.field("height", pa.int32(), nullable=False),
                pa.field("width", pa.int32(), nullable=False),
                *(pa.field(name, pa.large_binary(), nullable=False) for name in pixels),
            ]
        )

    def raw_data_spec(self, *, has_raw: bool) -> DataSpec:
        """Return `scales`, `split_rule`, `num_images`."""
        if not has_raw:
            return {"scales": list(self.data.scales), "split_rule": "(no data yet)", "num_images": {}}
        return {"scales": list(self.data.scales), "split_rule": self._raw.rule, "num_images": self.num_raw_rows()}

    def nominal_rows(self) -> dict[Split, int]:
        """Return the rows of UC Merced and DIV2K as they are published."""
        published: dict[str, dict[Split, int]] = {
            "uc_merced": {"train": 945, "val": 105, "test": 1050},
            "div2k": {"train": 800, "val": 10, "test": 100},
        }
        return published.get(self.data.source, {})

    def source_hash(self) -> str:
        digest = hashlib.sha256()
        for split in SPLITS:
            for entry in self._raw.entries[split]:
                for path in entry.files:
                    content = content_of(path)
                    digest.update(os.fsencode(f"{split}\n{entry.name}\n{len(content)}\n"))
                    digest.update(content)
        return digest.hexdigest()

    def list_raw_files(self) -> Sequence[Path]:
        return [path for split in SPLITS for entry in self._raw.entries[split] for path in entry.files]

    def split_files(self) -> Mapping[Split, Sequence[Path]]:
        entries = self._raw.entries
        return {split: [path for entry in entries[split] for path in entry.files] for split in SPLITS}

    def num_raw_rows(self) -> dict[Split, int]:
        return {split: len(self._raw.entries[split]) for split in SPLITS}

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        from data_pipelines.super_resolution.rows import (
            read_entry,
            refuse_unmeasurable,
        )  # imports Pillow and SciPy, which no reader of shards needs

        smallest = self.data.lr_patch_size if split == "train" else 1
        for entry in self._raw.entries[split][start_row:]:
            image = read_entry(entry, self.data.scales, smallest_lr=smallest)
            if split != "train":
                refuse_unmeasurable(image, entry.files[0])
            yield self._table([image])

    def check(self, table: pa.Table, *, data_spec: DataSpec, file: Path | str, first_row: int) -> None:
        """Raise ValueError unless every image has as many bytes as its size requires."""
        height, width = (table[name].to_numpy().astype(np.int64) for name in ("height", "width"))
        for name, scale in (("hr", 1), *((f"lr_x{scale}", scale) for scale in self.data.scales)):
            expected = (height // scale) * (width // scale) * CHANNELS
            found = np.diff(offsets_of(table[name]))
            wrong = np.flatnonzero((found != expected) | (expected <= 0))
            if len(wrong):
                row = int(wrong[0])
                raise ValueError(
                    f"{file}: row {first_row + row} has {found[row]} bytes in {name}, expected {expected[row]}"
                )

    def collate(self, table: pa.Table) -> PackedImages:
        """Return the names of complete images, and their pixels as they lie in the table, without a copy."""
        import torch

        size = np.stack([table[name].to_numpy() for name in ("height", "width")], axis=1).astype(np.int64)
        names = table["name"].cast(pa.large_binary())
        pixels = {name: tensor_of(table[name]) for name in table.column_names[3:]}
        name_length = torch.from_numpy(np.diff(offsets_of(names)))
        return {"size": torch.from_numpy(size), "name": tensor_of(names), "name_length": name_length, **pixels}

    def collate_train(self, table: pa.Table, draws: NumpyDraws) -> PatchBatch:
        """Crop one patch of each image, all at one of the scales."""
        data = self.data
        is_drawn = len(data.scales) > 1
        scale = data.scales[draws.for_batch().integers(len(data.scales)) if is_drawn else 0]
        pairs = pairs_of(table, scale)
        return cut_patches(pairs, scale, data.lr_patch_size, is_augmented=data.is_augmented, draws=draws)

    def make_fake_rows(self, num_rows: int, seed: int) -> pa.Table:
        """Return uniformly random pixels; images of a few different sizes, a little larger than a patch."""
        from data_pipelines.super_resolution.bicubic import downscale
        from data_pipelines.super_resolution.rows import ScaledImage, cut_to_multiple

        random = np.random.default_rng(seed)
        side = self.data.lr_patch_size * max(self.data.scales)
        images = []
        for row in range(num_rows):
            shape = (side + row % 3, side + 2 * (row % 2), CHANNELS)
            hr = random.integers(0, 256, size=shape, dtype=np.uint8)
            lr = {scale: downscale(cut_to_multiple(hr, scale, Path("made up")), scale) for scale in self.data.scales}
            images.append(ScaledImage(f"made-up-{row}", hr, lr))
        return self._table(images)

    @cached_property
    def _raw(self) -> "ImageListing":
        from data_pipelines.super_resolution.sources import list_images

        return list_images(self.data)

    def _table(self, images: "Sequence[ScaledImage]") -> pa.Table:
        columns: dict[str, list[Any]] = {
            "name": [printable(image.name) for image in images],
            "height": [image.hr.shape[0] for image in images],
            "width": [image.hr.shape[1] for image in images],
            "hr": [image.hr.tobytes() for image in images],
        }
        for scale in self.data.scales:
            columns[f"lr_x{scale}"] = [image.lr[scale].tobytes() for image in images]
        return pa.table(columns, schema=self.schema)
