"""Shards survive a round trip, and damage is noticed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines.contract.pipeline import Shard
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.rechunk import rebatch
from data_pipelines.prepared.shard_files import SHARD_BYTES, choose_rows_per_shard, load_shard, write_shard
from data_pipelines.storage.folder import Folder

PIPELINE = ImagePipeline(ImageData())
DATA_SPEC = PIPELINE.data_spec()


def _write(folder: Path, num_rows: int = 20) -> tuple[pa.Table, Path]:
    table = PIPELINE.make_fake_rows(num_rows, seed=0)
    write_shard(table, Folder(str(folder)), "train-00000.parquet", table)
    return table, folder / "train-00000.parquet"


def _load(path: Path, *, num_rows: int = 20) -> pa.Table:
    shard = Shard(name=path.name, num_rows=num_rows, num_bytes=0, sha256="")
    return load_shard(Folder(str(path.parent)), shard, PIPELINE, data_spec=DATA_SPEC)


def test_shard_round_trip_keeps_rows_and_schema(tmp_path: Path) -> None:
    table, path = _write(tmp_path)
    loaded = _load(path)
    assert loaded.equals(table)
    assert loaded.schema.equals(PIPELINE.schema)


def test_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    _write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["train-00000.parquet"]


def test_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    table = PIPELINE.make_fake_rows(30, seed=1)
    parts, folder = (table, pa.concat_tables([table[:7], table[7:]])), Folder(str(tmp_path))
    shards = [write_shard(part, folder, "shard", part) for part in parts]
    assert shards[0] == shards[1]


@pytest.mark.slow
def test_a_flipped_bit_is_noticed_or_changes_no_row(tmp_path: Path) -> None:
    table, path = _write(tmp_path)
    content = path.read_bytes()
    num_noticed = 0
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            assert _load(path).equals(table), position
        except ValueError as error:
            assert str(path) in str(error)
            num_noticed += 1
    assert num_noticed > len(content) / 2


def test_a_flipped_pixel_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    _, path = _write(tmp_path)
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"train-00000\.parquet: the file is damaged.*delete train-00000"):
        _load(path)


def test_a_cut_off_shard_names_the_file(tmp_path: Path) -> None:
    _, path = _write(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"train-00000\.parquet: the file is damaged"):
        _load(path)


def test_a_missing_shard_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent\.parquet: this shard is missing"):
        _load(tmp_path / "absent.parquet")


def test_a_wrong_row_count_is_refused(tmp_path: Path) -> None:
    _, path = _write(tmp_path)
    with pytest.raises(ValueError, match="holds 20 rows, expected 21"):
        _load(path, num_rows=21)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "train-00000.parquet"
    pq.write_table(pa.table({"image": [b"x"], "label": [0]}), path)
    with pytest.raises(ValueError, match=r"train-00000\.parquet: its columns are image: binary.*expected image: fixed"):
        _load(path)


def test_a_label_out_of_range_names_file_and_row(tmp_path: Path) -> None:
    table = PIPELINE.make_fake_rows(5, seed=0)
    wrong = table.set_column(1, PIPELINE.schema.field("label"), pa.array([0, 9, 3, 10, 11]))
    path = tmp_path / "train-00000.parquet"
    write_shard(wrong, Folder(str(tmp_path)), path.name, wrong)
    with pytest.raises(ValueError, match=r"train-00000\.parquet: row 3 has the label 10, expected 0\.\.9; delete"):
        _load(path, num_rows=5)


@pytest.mark.parametrize("sizes", [[10], [3, 4, 3], [1] * 10, [0, 7, 0, 3], [25, 1]])
@pytest.mark.parametrize("num_rows", [1, 4, 10, 100])
def test_cutting_keeps_every_row_in_order(sizes: list[int], num_rows: int) -> None:
    whole = PIPELINE.make_fake_rows(sum(sizes), seed=2)
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    cut = list(rebatch((whole[end - size : end] for end, size in zip(ends, sizes, strict=True)), num_rows))
    assert pa.concat_tables(cut).equals(whole)
    assert all(table.num_rows == num_rows for table in cut[:-1])
    assert 0 < cut[-1].num_rows <= num_rows


def test_a_shard_is_filled_to_its_size() -> None:
    table = PIPELINE.make_fake_rows(16, seed=0)
    assert choose_rows_per_shard(table.num_rows, table) == SHARD_BYTES // (64 + 8)


def test_a_shard_is_filled_by_what_its_rows_are_decoded_to():
    table = pa.table({"x": pa.array(range(32), pa.int64())})
    assert choose_rows_per_shard(4, table) == SHARD_BYTES // (8 * 8)
