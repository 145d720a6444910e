"""Folders written as streams: sealed by the checksums of a second reading, complete or not at all."""

from pathlib import Path

import pytest

from data_pipelines.storage import folder_writer
from data_pipelines.storage.atomic_file import TEMPORARY
from data_pipelines.storage.checksums import MANIFEST, verify, write_checksums
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.folder_writer import FolderWriter, new_files


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path: Path, serve_mock) -> Folder:
    if request.param == "local":
        return Folder(str(tmp_path / "run"))
    (tmp_path / "bucket").mkdir()
    serve_mock(tmp_path / "bucket")
    return Folder("mock://a/run")


def test_the_manifest_is_that_of_a_second_reading(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_writer, "CHUNK_BYTES", 3)
    content = bytes(range(200))
    with new_files(folder, "deep/new") as writer:
        writer.write("b", [content[:7], memoryview(content)[7:], b""])
        writer.write("a", [])
    again = tmp_path / "again"
    again.mkdir()
    (again / "a").write_bytes(b"")
    (again / "b").write_bytes(content)
    write_checksums(again)
    assert folder.read(f"deep/new/{MANIFEST}") == (again / MANIFEST).read_bytes()
    assert folder.read("deep/new/b") == content
    with folder.local("deep/new") as files:
        assert verify(files) is None


def test_a_folder_counts_only_once_it_is_sealed(folder):
    with new_files(folder, "x") as writer:
        writer.write("a", [b"1"])
        assert folder.names() == ([] if folder.is_local else ["x"]) and not folder.exists(f"x/{MANIFEST}")
    assert folder.exists(f"x/{MANIFEST}")


def test_a_writing_that_fails_leaves_nothing_that_counts(folder):
    with pytest.raises(RuntimeError, match="inside"), new_files(folder, "x") as writer:
        writer.write("a", [b"1"])
        raise RuntimeError("inside")
    assert not folder.exists(f"x/{MANIFEST}")
    assert not folder.is_local or not list(Path(folder.path).iterdir())


def test_an_earlier_folder_is_replaced_as_a_whole(folder):
    for name in ("old", "new"):
        with new_files(folder, "x") as writer:
            writer.write(name, [b"1"])
    assert folder.names("x") == [MANIFEST, "new"] and folder.names() == ["x"]


def test_several_writers_fill_one_folder(folder):
    with new_files(folder, "x") as writer:
        other = FolderWriter(Folder(writer.folder.uri))
        other.write("theirs", [b"2"])
        writer.write("ours", [b"1"])
        writer.files.update(other.files)
    assert folder.names("x") == [MANIFEST, "ours", "theirs"]
    with folder.local("x") as files:
        assert verify(files) is None


def test_a_killed_writing_is_removed_with_the_temporary_files(tmp_path):
    folder = Folder(str(tmp_path))
    (tmp_path / f"{TEMPORARY}x-1").mkdir()
    FolderWriter(folder / f"{TEMPORARY}x-1").write("a", [b"1"])
    assert folder.names() == []
    folder.remove_temporary()
    assert not list(tmp_path.iterdir())
