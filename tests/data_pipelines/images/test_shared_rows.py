"""Images with a validation split are chosen from those without one, which are stored once."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared import shard_files
from data_pipelines.prepared.choices import store_files
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder
from trainables.ray_train.row_sources import shards_of


def digits(ratio: float) -> ImagePipeline:
    return ImagePipeline(ImageData(validation_ratio=ratio))


def loaded(pipeline: ImagePipeline, folder: Folder, split: Any) -> pa.Table:
    of_split = open_split(folder, prepare(pipeline, folder), split)
    return pa.concat_tables([of_split.load(piece.shard, pipeline) for piece in of_split.whole()])


def test_all_shares_are_chosen_from_one_folder_of_rows(tmp_path: Path) -> None:
    plain = digits(0)
    prepare(plain, Folder(str(tmp_path / plain.key)), rows_per_shard=300)
    before = [(file, file.stat().st_mtime_ns) for file in (tmp_path / plain.key).iterdir()]
    for ratio in (0.1, 0.25):
        pipeline, folder = digits(ratio), Folder(str(tmp_path / digits(ratio).key))
        manifest = prepare(pipeline, folder, rows_per_shard=200)
        assert [each.folder for each in manifest.stores] == [plain.key]
        for split in pipeline.num_raw_rows():
            expected = pa.concat_tables(list(pipeline.read_raw(split, 0)))
            assert loaded(pipeline, folder, split).equals(expected)
        assert sum(folder.sizes().values()) < 0.6 * sum(Folder(str(tmp_path / plain.key)).sizes().values())
    assert [(file, file.stat().st_mtime_ns) for file in (tmp_path / plain.key).iterdir()] == before
    assert loaded(plain, Folder(str(tmp_path / plain.key)), "train").num_rows == plain.num_raw_rows()["train"]


def test_pieces_of_chosen_images_read_no_other_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_files, "GROUP_BYTES", 72 * 10)
    pipeline, folder = digits(0.1), Folder(str(tmp_path / "choice"))
    split = open_split(folder, prepare(pipeline, folder, rows_per_shard=200), "train")
    read, num_read = store_files.read_columns, []

    def counting(*arguments: Any, **options: Any) -> pa.Table:
        num_read.append(read(*arguments, **options).num_rows)
        return read(*arguments, **options)

    monkeypatch.setattr(store_files, "read_columns", counting)
    for piece in shards_of(split).pieces:
        split.load(piece.shard, pipeline, (piece.start, piece.stop))
    assert len(num_read) > 100 and split.num_rows <= sum(num_read) <= 1.1 * split.num_rows


def test_damaged_images_are_left_out_of_the_choice_alone(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(10):
            image = Image.fromarray(np.full((8, 8), number + 100 * (label == "dog"), np.uint8))
            image.save(tmp_path / "raw" / label / f"{number}.png")
    data = ImageData(source="folder", path=tmp_path / "raw", size=8, channels=1, validation_ratio=0.2)
    names = [path.relative_to(tmp_path / "raw") for path in ImagePipeline(data).split_files()["train"]]
    for number in (0, 3, 4):
        (tmp_path / "raw" / names[number]).write_bytes(b"no image")
    with pytest.raises(ValueError, match="3 files cannot be used"):
        prepare(ImagePipeline(data), Folder(str(tmp_path / "choice")), rows_per_shard=5)
    pipeline = ImagePipeline(data.model_copy(update={"on_bad_file": "skip"}))
    manifest = prepare(pipeline, Folder(str(tmp_path / "choice")), rows_per_shard=5)
    assert [each.row for each in manifest.left_out["train"]] == [0, 3, 4] and "val" not in manifest.left_out
    for split, listed in pipeline.split_files().items():
        levels = [int(path.stem) + 100 * (path.parent.name == "dog") for path in listed]
        kept = [level for row, level in enumerate(levels) if split != "train" or row not in (0, 3, 4)]
        rows = loaded(pipeline, Folder(str(tmp_path / "choice")), split)
        assert [row["image"][0] for row in rows.to_pylist()] == kept
    assert manifest.files is not None and manifest.files.left_out == {"damaged": 3} and manifest.files.listed == 20
