"""`prepare` does each piece of work once, whatever happens in between."""

import errno
import fcntl
import logging
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest

from data_pipelines.contract.pipeline import Manifest, Split
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder

ROWS = 200


class RecordingPipeline(ImagePipeline):
    """The digits; notes each read, and breaks off after a given number of train rows."""

    def __init__(self, fail_after: int | None = None, source_hash: str | None = None) -> None:
        super().__init__(ImageData())
        self.reads: list[tuple[Split, int]] = []
        self.fail_after = fail_after
        self.other_hash = source_hash

    def source_hash(self) -> str:
        return self.other_hash or super().source_hash()

    def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
        self.reads.append((split, start_row))
        whole = pa.concat_tables(super().read_raw(split, start_row))
        for first in range(0, whole.num_rows, 50):
            if self.fail_after is not None and start_row + first >= self.fail_after:
                raise RuntimeError("the machine was switched off")
            yield whole[first : first + 50]


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _train_rows(folder: Path, manifest: Manifest) -> pa.Table:
    pipeline, split = ImagePipeline(ImageData()), open_split(Folder(str(folder)), manifest, "train")
    return pa.concat_tables(split.load(index, pipeline) for index in range(len(split.shards)))


def _fill(folder: Path) -> tuple[Manifest, RecordingPipeline]:
    pipeline = RecordingPipeline()
    return prepare(pipeline, Folder(str(folder)), rows_per_shard=ROWS), pipeline


def test_prepared_rows_are_the_raw_rows(tmp_path: Path) -> None:
    manifest, pipeline = _fill(tmp_path)
    assert _train_rows(tmp_path, manifest).equals(pa.concat_tables(pipeline.read_raw("train", 0)))
    assert {split: manifest.num_rows(split) for split in pipeline.num_raw_rows()} == pipeline.num_raw_rows()
    assert [shard.num_rows for shard in manifest.splits["train"]] == [200] * 7 + [42]


def test_manifest_measures_decoded_bytes(tmp_path: Path) -> None:
    manifest, _ = _fill(tmp_path)
    assert manifest.decoded_bytes == {split: manifest.num_rows(split) * (64 + 8) for split in ("train", "test")}


def test_manifest_can_be_loaded_again(tmp_path: Path) -> None:
    manifest, pipeline = _fill(tmp_path)
    assert load_manifest(Folder(str(tmp_path)), pipeline) == manifest


def test_a_whole_folder_is_left_alone(tmp_path: Path) -> None:
    _fill(tmp_path)
    before = _content(tmp_path)
    _, pipeline = _fill(tmp_path)
    assert pipeline.reads == []
    assert _content(tmp_path) == before


def test_an_interrupted_call_resumes_after_its_last_whole_shard(tmp_path: Path) -> None:
    _fill(tmp_path / "straight")
    folder = tmp_path / "broken"
    with pytest.raises(RuntimeError, match="switched off"):
        prepare(RecordingPipeline(fail_after=700), Folder(str(folder)), rows_per_shard=ROWS)
    with pytest.raises(ValueError, match="no prepared data"):
        load_manifest(Folder(str(folder)), RecordingPipeline())
    (folder / ".train-00099.parquet.tmp").write_bytes(b"torn")
    pipeline = RecordingPipeline()
    prepare(pipeline, Folder(str(folder)))
    assert pipeline.reads == [("train", 600), ("test", 0)]
    assert _content(folder) == _content(tmp_path / "straight")


def test_a_shard_spoilt_during_the_interruption_is_remade(tmp_path: Path) -> None:
    _fill(tmp_path / "straight")
    folder = tmp_path / "broken"
    with pytest.raises(RuntimeError):
        prepare(RecordingPipeline(fail_after=700), Folder(str(folder)), rows_per_shard=ROWS)
    spoilt = bytearray((folder / "train-00001.parquet").read_bytes())
    spoilt[300] ^= 1
    (folder / "train-00001.parquet").write_bytes(spoilt)
    prepare(RecordingPipeline(), Folder(str(folder)))
    assert _content(folder) == _content(tmp_path / "straight")


def test_changed_raw_data_restart_an_interrupted_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError):
        prepare(RecordingPipeline(fail_after=700, source_hash="old"), Folder(str(tmp_path)), rows_per_shard=ROWS)
    pipeline = RecordingPipeline()
    with caplog.at_level(logging.WARNING):
        manifest = prepare(pipeline, Folder(str(tmp_path)), rows_per_shard=1000)
    assert "raw data have changed" in caplog.text
    assert [shard.num_rows for shard in manifest.splits["train"]] == [1000, 442]
    assert sorted(path.name for path in tmp_path.glob("train-*")) == ["train-00000.parquet", "train-00001.parquet"]


def test_progress_counts_rows_of_all_splits(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepare(
        RecordingPipeline(), Folder(str(tmp_path)), rows_per_shard=1000, on_progress=lambda *call: calls.append(call)
    )
    assert calls[0] == (0, 1797)  # before the digest of the raw data
    assert calls[2:4] == [(50, 1797), (100, 1797)] and calls[-1] == (1797, 1797) and calls == sorted(calls)


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_one_bad_shard_is_remade_alone(tmp_path: Path, is_cut_off: bool) -> None:
    _fill(tmp_path)
    before = _content(tmp_path)
    bad = tmp_path / "train-00002.parquet"
    bad.unlink()
    if is_cut_off:
        bad.write_bytes(before[bad.name][:100])
    untouched = {path: path.stat().st_mtime_ns for path in tmp_path.glob("t*-*.parquet") if path != bad}
    _, pipeline = _fill(tmp_path)
    assert pipeline.reads == [("train", 400)]
    assert _content(tmp_path) == before
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched


def test_a_second_call_waits_for_the_first(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = Thread(target=_fill, args=(tmp_path,))
        second.start()
        second.join(timeout=0.5)
        assert second.is_alive()
        assert not list(tmp_path.glob("*.parquet"))
    second.join(timeout=30)
    assert len(list(tmp_path.glob("*.parquet"))) == 10


def test_a_shard_is_not_remade_from_changed_raw_data(tmp_path: Path) -> None:
    _fill(tmp_path)
    (tmp_path / "train-00002.parquet").unlink()
    with pytest.raises(ValueError, match="has changed since the folder was prepared"):
        prepare(RecordingPipeline(source_hash="new"), Folder(str(tmp_path)))


def test_another_pipelines_folder_is_refused_with_both_keys(tmp_path: Path) -> None:
    _, digits = _fill(tmp_path)
    before = _content(tmp_path)
    other = ImagePipeline(ImageData(source="cifar10", path=tmp_path))
    for call in (prepare, lambda pipeline, folder: load_manifest(folder, pipeline)):
        with pytest.raises(ValueError, match=f"holds the data of {digits.key}, .* ask for {other.key}"):
            call(other, Folder(str(tmp_path)))
    assert _content(tmp_path) == before


def test_another_pipelines_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        prepare(RecordingPipeline(fail_after=700), Folder(str(tmp_path)), rows_per_shard=ROWS)
    with pytest.raises(ValueError, match="holds the data of digits-"):
        prepare(ImagePipeline(ImageData(source="cifar10", path=tmp_path)), Folder(str(tmp_path)))


def test_a_folder_with_strangers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="files that prepare did not write"):
        prepare(RecordingPipeline(), Folder(str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_missing_manifest_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run: quintet prepare EXPERIMENT"):
        load_manifest(Folder(str(tmp_path / "absent")), RecordingPipeline())


def test_a_damaged_manifest_names_the_file(tmp_path: Path) -> None:
    _fill(tmp_path)
    (tmp_path / "manifest.json").write_text('{"format": 1')
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        load_manifest(Folder(str(tmp_path)), RecordingPipeline())


def test_too_few_raw_rows_are_an_error(tmp_path: Path) -> None:
    class Short(RecordingPipeline):
        def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
            return (table[:-1] for table in super().read_raw(split, start_row))

    with pytest.raises(ValueError, match="split train gave 1413 rows, expected at least 1442"):
        prepare(Short(), Folder(str(tmp_path)))


def test_a_label_out_of_range_is_refused_before_any_write(tmp_path: Path) -> None:
    class Wrong(RecordingPipeline):
        def read_raw(self, split: Split, start_row: int) -> Iterator[pa.Table]:
            for table in super().read_raw(split, start_row):
                yield table.set_column(1, self.schema.field("label"), pa.array([0, -1] + [5] * (len(table) - 2)))

    with pytest.raises(ValueError, match=r"train-00000\.parquet: row 1 has the label -1"):
        prepare(Wrong(), Folder(str(tmp_path)))
    assert not list(tmp_path.glob("*.parquet"))


def test_a_file_system_without_locks_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    assert prepare(ImagePipeline(ImageData()), Folder(str(tmp_path / "p"))).num_rows("train") == 1442
    assert "cannot be locked there (No locks available); let no second command" in caplog.text
