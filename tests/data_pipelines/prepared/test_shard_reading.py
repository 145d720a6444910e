"""Pages are compared with their checksums before anything relies on them, and not again without a reason."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines.contract.pipeline import Shard
from data_pipelines.prepared.shard_files import write_shard
from data_pipelines.prepared.shard_reading import read_columns
from data_pipelines.storage.file_cache import FileCache
from data_pipelines.storage.folder import Folder

NAME = "train-00000.parquet"
TABLE = pa.table({"a": pa.array(range(40)), "b": pa.array([f"row {number}" for number in range(40)])})
ONE_COLUMN = pa.schema([TABLE.schema.field("a")])


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether checksums were compared, for each time that a file was opened."""
    seen: list[bool] = []
    opened = pq.ParquetFile

    def note(*arguments: Any, page_checksum_verification: bool, **options: Any) -> pq.ParquetFile:
        seen.append(page_checksum_verification)
        return opened(*arguments, page_checksum_verification=page_checksum_verification, **options)

    monkeypatch.setattr(pq, "ParquetFile", note)
    return seen


def write(folder: Folder) -> Shard:
    return write_shard(TABLE, folder, NAME, TABLE, group_bytes=TABLE.nbytes // 4)


def age(path: Path, seconds: int = 60) -> None:
    """Make a file as old as one that was written some time ago."""
    time_ns = path.stat().st_mtime_ns - seconds * 10**9
    os.utime(path, ns=(time_ns, time_ns))


def damage(path: Path) -> None:
    """Change a value on its page."""
    content = bytearray(path.read_bytes())
    content[content.index((21).to_bytes(8, "little"))] ^= 1
    path.write_bytes(content)


@pytest.fixture
def old(tmp_path: Path) -> tuple[Folder, Shard]:
    folder = Folder(str(tmp_path))
    shard = write(folder)
    age(tmp_path / NAME)
    return folder, shard


def test_row_groups_are_compared_when_they_are_first_read(old, compared: list[bool]):
    folder, shard = old
    reads: Sequence[Sequence[int] | None] = [[0, 1], [1], [1, 2], [2], None, [3], None]
    for groups in reads:
        read_columns(folder, shard, TABLE.schema, groups=groups)
    assert compared == [True, False, True, False, True, False, False]


def test_other_columns_are_compared_by_themselves(old, compared: list[bool]):
    folder, shard = old
    for schema in (ONE_COLUMN, ONE_COLUMN, TABLE.schema, TABLE.schema):
        read_columns(folder, shard, schema, is_all=False, groups=[0])
    assert compared == [True, False, True, False]


def test_a_file_that_has_changed_is_compared_again(old, tmp_path: Path, compared: list[bool]):
    folder, shard = old
    assert read_columns(folder, shard, TABLE.schema) == read_columns(folder, shard, TABLE.schema) == TABLE
    damage(tmp_path / NAME)
    age(tmp_path / NAME, seconds=30)
    for groups in (None, [1, 2]):
        with pytest.raises(ValueError, match=r"train-00000\.parquet: the file is damaged"):
            read_columns(folder, shard, TABLE.schema, groups=groups)
    assert compared == [True, False, True, True]


def test_a_file_that_was_just_written_is_always_compared(tmp_path: Path, compared: list[bool]):
    folder = Folder(str(tmp_path))
    shard = write(folder)
    for _ in range(2):
        read_columns(folder, shard, TABLE.schema)
    damage(tmp_path / NAME)
    with pytest.raises(ValueError, match="the file is damaged"):
        read_columns(folder, shard, TABLE.schema)
    assert compared == [True, True, True]


def test_files_of_other_storage_are_compared_once_in_the_cache(tmp_path: Path, serve_mock, compared: list[bool]):
    (tmp_path / "bucket").mkdir()
    serve_mock(tmp_path / "bucket")
    shard, cache = write(Folder("mock://a")), FileCache(2**20, str(tmp_path / "cache"))

    def read(**options: Any) -> None:
        assert read_columns(Folder("mock://a"), shard, TABLE.schema, **options).num_rows > 0

    read(cache=cache)
    cached = cache.folder / shard.sha256
    age(cached)
    for _ in range(2):
        read(cache=cache)
    damage(cached)
    age(cached, seconds=30)
    read(cache=cache)  # compared, and fetched anew
    for _ in range(2):
        read(groups=[0])  # straight from the storage
    assert compared == [True, True, False, True, True, True, True]
