"""Recordings are stored once, and each setting that only chooses among them, or cuts them, adds a small table."""

import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_pipelines.contract.pipeline import Manifest
from data_pipelines.heart_sounds import rows as heart_rows
from data_pipelines.heart_sounds.config import HeartData, PretrainData, Synthetic
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.tasks import TaskName
from data_pipelines.prepared.choices import store_files
from data_pipelines.prepared.prepare import is_prepared, prepare
from data_pipelines.prepared.ray_dataset import ShardedSplit, open_split
from data_pipelines.storage.folder import Folder
from trainables.engine.data.row_order import PassOrder
from trainables.engine.data.rows import ResidentRows, Share, StreamedRows
from trainables.ray_train.row_sources import shards_of

SMALL = {"sample_rate": 1000, "num_samples": 128, "synthetic": Synthetic(num_subjects=14, duration_s=4)}
MURMUR: TaskName = "synthetic_murmur"
STORE = "heart-recordings-*"


def task(**changes: Any) -> HeartPipeline:
    return HeartPipeline(HeartData(**{**SMALL, **changes}), MURMUR)


def pretraining(**changes: Any) -> HeartPipeline:
    return HeartPipeline(PretrainData(**{**SMALL, **changes}), None)


def prepared(pipeline: HeartPipeline, place: Path, name: str = "", **options: Any) -> tuple[Folder, Manifest]:
    folder = Folder(str(place / (name or pipeline.key)))
    return folder, prepare(pipeline, folder, rows_per_shard=5, **options)


def opened(pipeline: HeartPipeline, place: Path) -> ShardedSplit:
    return open_split(*prepared(pipeline, place), "train")


def files_in(place: Path, pattern: str = STORE) -> dict[str, tuple[int, int]]:
    return {
        str(file): (file.stat().st_mtime_ns, file.stat().st_size)
        for folder in place.glob(pattern)
        for file in folder.glob("*.parquet")
    }


@pytest.fixture
def read_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names of the recordings that were read."""
    calls: list[str] = []
    read = heart_rows.read_recording

    def counting(recording: Any, data: Any) -> Any:
        calls.append(recording.name)
        return read(recording, data)

    monkeypatch.setattr("data_pipelines.heart_sounds.store.read_recording", counting)
    yield calls


CHOICES = {
    "plain": task(),
    "few": task(shot_ratio=0.4, split_seed=3),
    "balanced": task(balances_classes=True, val_ratio=0.3),
    "windows": task(unit="window", window_s=1.0, hop_s=0.4),
    "clean windows": task(unit="window", window_s=0.5, hop_s=0.5, filters_cycles=True),
    "pretraining": pretraining(withheld_tasks=(MURMUR,)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_chosen_rows_are_those_of_the_raw_data(name: str, tmp_path: Path) -> None:
    pipeline = CHOICES[name]
    folder, manifest = prepared(pipeline, tmp_path)
    assert manifest.stores and len(list(tmp_path.glob(STORE))) == 1
    for split in pipeline.num_raw_rows():
        raw = pa.concat_tables(list(pipeline.read_raw(split, 0)))
        of_split = open_split(folder, manifest, split)
        found = pa.concat_tables([of_split.load(piece.shard, pipeline) for piece in of_split.whole()])
        expected = pipeline.decode(raw)
        assert found.equals(expected) and found.num_rows == manifest.num_samples(split)
        assert manifest.decoded_bytes[split] == expected.nbytes
        for group, numbers in pipeline.count(raw).items():
            assert manifest.counts[split][group] == numbers


def test_two_choices_share_the_store_and_read_nothing_anew(tmp_path: Path, read_calls: list[str]) -> None:
    prepared(task(), tmp_path)
    before, num_read = files_in(tmp_path), len(read_calls)
    for pipeline in list(CHOICES.values())[1:]:
        folder, _ = prepared(pipeline, tmp_path)
        tables = sum(size for _, size in files_in(tmp_path, Path(folder.path).name).values())
        assert 0 < tables < 0.3 * sum(size for _, size in before.values())
    assert files_in(tmp_path) == before and len(before) > 1
    assert len(read_calls) == num_read and len(list(tmp_path.glob(STORE))) == 1


def test_what_changes_a_waveform_has_a_store_of_its_own(tmp_path: Path) -> None:
    for pipeline in (task(), task(sample_rate=1200), task(band_hz=(30, 200))):
        prepared(pipeline, tmp_path)
    assert len(list(tmp_path.glob(STORE))) == 3


@pytest.mark.parametrize("name", ["few", "clean windows", "pretraining"])
@pytest.mark.parametrize("num_shares", [1, 2, 3])
def test_streamed_batches_equal_resident_ones(name: str, num_shares: int, tmp_path: Path) -> None:
    pipeline = CHOICES[name]
    split = opened(pipeline, tmp_path)

    def load(pieces: Any) -> Iterator[pa.Table]:
        return (split.load(piece.shard, pipeline, (piece.start, piece.stop)) for piece in pieces)

    resident = ResidentRows(list(load(split.whole())), shards_of(split))
    order = PassOrder(resident.shards, seed=1, number=1, batch_size=6, window_rows=20)
    whole = [rows.table.take(np.argsort(rows.places)) for rows in resident.shuffled([Share(order, [(0, 6)])], 0)]
    for share in range(num_shares):
        part = (share * 6 // num_shares, (share + 1) * 6 // num_shares)
        for batch, rows in zip(
            whole,
            StreamedRows(resident.shards, lambda passes: load(chain.from_iterable(passes))).shuffled(
                [Share(order, [part])], 0
            ),
            strict=True,
        ):
            found = rows.table.take(np.argsort(rows.places))
            assert found.equals(batch.slice(part[0], part[1] - part[0]))


def test_any_part_of_a_shard_can_be_read(tmp_path: Path) -> None:
    pipeline = task(filters_cycles=True, balances_classes=True)
    split = opened(pipeline, tmp_path)
    whole = split.load(0, pipeline)
    for first, last in ((0, 1), (3, 9), (whole.num_rows - 1, whole.num_rows), (0, whole.num_rows)):
        assert split.load(0, pipeline, (first, last)).equals(whole.slice(first, last - first))


def test_only_row_groups_of_chosen_rows_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = task(shot_ratio=0.2, sample_rate=5000, band_hz=(25, 400))
    split = opened(pipeline, tmp_path)
    read, num_bytes = store_files.read_columns, [0, 0]

    def counting(folder: Folder, shard: Any, schema: pa.Schema, **options: Any) -> pa.Table:
        with pq.ParquetFile(f"{folder}/{shard.name}") as file:
            for group in options["groups"]:
                parts = [file.metadata.row_group(group).column(column) for column in range(len(schema))]
                num_bytes[0] += sum(part.total_compressed_size for part in parts)
        table = read(folder, shard, schema, **options)
        num_bytes[1] += table.nbytes
        return table

    monkeypatch.setattr(store_files, "read_columns", counting)
    for piece in split.whole():
        split.load(piece.shard, pipeline)
    chosen = sum(len(row["waveform"]) for table in pipeline.read_raw("train", 0) for row in table.to_pylist())
    stored = sum(size for _, size in files_in(tmp_path).values())
    assert chosen <= num_bytes[0] <= 1.1 * chosen and num_bytes[1] <= 1.1 * chosen < 0.4 * stored


def test_a_lost_shard_of_the_store_is_remade_alone(tmp_path: Path) -> None:
    folder, manifest = prepared(task(), tmp_path)
    (store,) = tmp_path.glob(STORE)
    content, before = (store / "train-00001.parquet").read_bytes(), files_in(tmp_path)
    (store / "train-00001.parquet").unlink()
    assert not is_prepared(folder)
    with pytest.raises(ValueError, match=r"heart-recordings-.*train-00001\.parquet is missing or cut off"):
        open_split(folder, manifest, "train")
    assert prepared(task(), tmp_path)[1] == manifest and is_prepared(folder)
    assert (store / "train-00001.parquet").read_bytes() == content
    after = files_in(tmp_path)
    assert [file for file in before if after[file] != before[file]] == [str(store / "train-00001.parquet")]


def test_a_lost_table_of_a_choice_is_remade_alone(tmp_path: Path, read_calls: list[str]) -> None:
    folder, manifest = prepared(task(), tmp_path)
    num_read, table = len(read_calls), Path(folder.path, "train-00001.parquet")
    content = table.read_bytes()
    table.unlink()
    assert prepared(task(), tmp_path)[1] == manifest and table.read_bytes() == content and len(read_calls) == num_read


def test_two_preparations_at_once_store_each_recording_once(tmp_path: Path, read_calls: list[str]) -> None:
    pipelines, failed = [task(), task(split_seed=1), pretraining()], []

    def run(pipeline: HeartPipeline) -> None:
        try:
            prepared(pipeline, tmp_path)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(pipeline,)) for pipeline in pipelines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and set(read_calls) == {each.name for each in task()._chosen.all}
    assert len(read_calls) <= len(set(read_calls)) + 1  # the first one also shows the size of a row
    for pipeline in pipelines:
        assert opened(pipeline, tmp_path).load(0, pipeline).num_rows


def test_again_writes_the_store_anew_and_others_go_on(tmp_path: Path, read_calls: list[str]) -> None:
    other, _ = prepared(task(split_seed=1), tmp_path)
    _, manifest = prepared(task(), tmp_path)
    before, num_read = files_in(tmp_path), len(read_calls)
    assert prepared(task(), tmp_path, again=True)[1] == manifest
    after = files_in(tmp_path)
    assert after.keys() == before.keys() and all(after[file] != before[file] for file in before)
    assert len(read_calls) == 2 * num_read and is_prepared(other)
    assert opened(task(split_seed=1), tmp_path).num_rows and len(read_calls) == 2 * num_read
