"""Splits of a prepared folder, read in this process and through Ray."""

import warnings
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared import shard_files
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import Piece, ShardedSplit, cause_of, open_split, ray_dataset
from data_pipelines.storage.folder import Folder

PIPELINE = ImagePipeline(ImageData())


def _open(folder: Path) -> ShardedSplit:
    return open_split(Folder(str(folder)), prepare(PIPELINE, Folder(str(folder)), rows_per_shard=100), "train")


def test_split_counts_its_rows(tmp_path: Path) -> None:
    split = _open(tmp_path)
    assert (split.num_rows, len(split.shards), split.decoded_bytes) == (1442, 15, 1442 * 72)


def test_shards_hold_the_rows_in_order(tmp_path: Path) -> None:
    split = _open(tmp_path)
    loaded = pa.concat_tables(split.load(index, PIPELINE) for index in range(15))
    assert loaded.equals(pa.concat_tables(PIPELINE.read_raw("train", 0)))


def test_any_rows_of_a_shard_are_read_by_their_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_files, "GROUP_BYTES", 72 * 7)
    split = _open(tmp_path)
    assert [shard.group_rows for shard in split.shards] == [7] * 15
    whole = split.load(14, PIPELINE)
    for first, last in ((0, 7), (3, 4), (6, 8), (13, 30), (35, 42), (0, 42), (41, 42)):
        assert split.load(14, PIPELINE, (first, last)).equals(whole.slice(first, last - first))
    for starts in ((0,), (0, 7), (7, 28, 35)):
        pieces = [Piece(14, start, start + 7) for start in starts]
        expected = pa.concat_tables([whole.slice(start, 7) for start in starts])
        assert split.load_pieces(pieces, PIPELINE).equals(expected)
    (tmp_path / "train-00014.parquet").write_bytes(_without_group(tmp_path / "train-00014.parquet", 5))
    assert split.load(14, PIPELINE, (0, 7)).equals(whole.slice(0, 7))  # nothing else is read
    with pytest.raises(ValueError, match="the file is damaged"):
        split.load(14, PIPELINE, (36, 37))


def _without_group(path: Path, number: int) -> bytes:
    place = pq.ParquetFile(path).metadata.row_group(number).column(0)
    content = bytearray(path.read_bytes())
    content[place.data_page_offset : place.data_page_offset + place.total_compressed_size] = bytes(
        place.total_compressed_size
    )
    return bytes(content)


def test_an_absent_split_names_those_that_exist(tmp_path: Path) -> None:
    manifest = prepare(PIPELINE, Folder(str(tmp_path)))
    with pytest.raises(ValueError, match="no rows in split 'val'; it has: train, test"):
        open_split(Folder(str(tmp_path)), manifest, "val")


def test_a_cut_off_file_is_noticed_on_opening(tmp_path: Path) -> None:
    manifest = prepare(PIPELINE, Folder(str(tmp_path)))
    shard = tmp_path / "train-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"train-00000\.parquet is missing or cut off"):
        open_split(Folder(str(tmp_path)), manifest, "train")


def test_no_shards_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no shards of train"):
        ray_dataset(_open(tmp_path), PIPELINE, [], concurrency=1)


def test_cause_is_found_below_wrappers() -> None:
    class WrapperError(Exception):
        def __init__(self, cause: BaseException) -> None:
            self.cause = cause

    error = KeyError("inner")
    assert cause_of(WrapperError(WrapperError(error))) is error
    assert cause_of(error) is error


@pytest.mark.ray
def test_ray_keeps_the_order_and_names_a_damaged_file(tmp_path: Path, ray_cluster: object) -> None:
    split = _open(tmp_path)
    whole = split.whole()
    order = [whole[index] for index in (14, *range(0, 14, 2), *range(13, 0, -2))]
    order[3:3] = [Piece(2, 0, 1), Piece(2, 7, 30), Piece(5, 30, 31)]  # read by one task
    warnings.simplefilter("ignore")  # Ray warns about its own deprecated parts
    batches = ray_dataset(split, PIPELINE, order, concurrency=2).iter_batches(batch_size=64, batch_format="pyarrow")
    expected = pa.concat_tables(split.load(part.shard, PIPELINE, (part.start, part.stop)) for part in order)
    assert pa.concat_tables(list(batches)).equals(expected)

    damaged = tmp_path / "train-00008.parquet"
    content = bytearray(damaged.read_bytes())
    content[500] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(Exception, match="train-00008") as caught:
        list(ray_dataset(split, PIPELINE, order, concurrency=2).iter_batches(batch_format="pyarrow"))
    cause = cause_of(caught.value)
    assert isinstance(cause, ValueError)
    assert str(cause).startswith(str(damaged))
    assert str(cause).endswith("it remakes just that shard")


@pytest.mark.ray
def test_readers_share_a_half_of_the_smallest_object_store(tmp_path: Path, ray_cluster: object) -> None:
    import ray

    split = _open(tmp_path)
    warnings.simplefilter("ignore")  # as above
    small = ray_dataset(split, PIPELINE, split.whole()[:2], concurrency=2)
    assert small.context.execution_options.resource_limits.object_store_memory == 12 * 1024**2  # the smallest blocks
    store = min(node["Resources"]["object_store_memory"] for node in ray.nodes() if node["Alive"])
    huge = ray_dataset(replace(split, decoded_bytes=10**13), PIPELINE, split.whole()[:2], concurrency=2, sharers=3)
    assert huge.context.execution_options.resource_limits.object_store_memory == int(store) // 6
