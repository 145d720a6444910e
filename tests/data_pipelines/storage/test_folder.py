"""Folders on storage: whole files and whole folders or nothing, on local disks and elsewhere."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from data_pipelines.storage.atomic_file import TEMPORARY
from data_pipelines.storage.checksums import MANIFEST, verify
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.uri import join_uri, parent_uri


@pytest.fixture
def remote(tmp_path: Path, serve_mock) -> Path:
    """The folder behind `mock://`."""
    root = tmp_path / "bucket"
    root.mkdir()
    serve_mock(root)
    return root


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path: Path, remote: Path) -> Folder:
    folder = Folder(str(tmp_path / "run") if request.param == "local" else "mock://a/run")
    assert folder.is_local == (request.param == "local")
    folder.make()
    return folder


def fill(folder: Folder, name: str, **files: bytes) -> None:
    with folder.new_folder(name) as filling:
        for file, content in files.items():
            (filling / file).write_bytes(content)


def stored(folder: Folder, name: str) -> dict[str, bytes]:
    return {entry: folder.read(f"{name}/{entry}") for entry in folder.names(name) if entry != MANIFEST}


# ---- files


def test_a_file_and_a_folder_can_be_moved(folder):
    folder.write("a.txt", b"a")
    fill(folder, "one/two", x=b"1")
    folder.move("a.txt", "earlier/001/a.txt")
    folder.move("one", "earlier/001/one")
    assert folder.names() == ["earlier"] and folder.names("earlier/001") == ["a.txt", "one"]
    assert folder.read("earlier/001/a.txt") == b"a" and stored(folder, "earlier/001/one/two") == {"x": b"1"}


def test_the_options_of_a_uri_stay_behind_its_path():
    uri = join_uri("s3://bucket/runs/?region=here&scheme=http", "a b")
    assert uri == "s3://bucket/runs/a%20b?region=here&scheme=http"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/data/a", "/data/b c"),
        ("/a", "/b c"),
        ("s3://bucket/a", "s3://bucket/b%20c"),
        ("s3://bucket/runs/a/?region=here", "s3://bucket/runs/b%20c?region=here"),
        ("file:///data/a", "file:///data/b%20c"),
    ],
)
def test_a_neighbour_has_the_same_place_and_options(uri, expected):
    assert join_uri(parent_uri(uri), "b c") == expected


def test_a_bucket_has_no_neighbours():
    with pytest.raises(ValueError, match="s3://bucket lies in no folder"):
        parent_uri("s3://bucket")


def test_what_is_written_is_read(folder):
    content = bytes(range(256)) * 10
    folder.write("deep/er/file.gz", content)
    assert folder.read("deep/er/file.gz") == content
    folder.write("deep/er/file.gz", b"")
    assert folder.read("deep/er/file.gz") == b""
    folder.write_json("x.json", {"b": 0.1, "a": [1, None, "\u00fc"]})
    assert folder.read_json("x.json") == {"b": 0.1, "a": [1, None, "\u00fc"]}


def test_entries_are_sorted_and_a_missing_folder_has_none(folder):
    for name in ("b", "a", "c/d"):
        folder.write(name, b"")
    assert folder.names() == ["a", "b", "c"] and folder.names("c") == ["d"]
    assert folder.names("absent") == []
    assert folder.exists("c/d") and folder.exists("c") and folder.exists() and not folder.exists("d")


def test_delete_removes_files_and_folders_and_no_more(folder):
    for name in ("a", "b/c", "b/d", "e"):
        folder.write(name, b"")
    for name in ("a", "b", "absent"):
        folder.delete(name)
    assert folder.names() == ["e"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_writer_that_dies_in_the_middle_leaves_the_old_content(tmp_path, monkeypatch, step):
    folder = Folder(str(tmp_path))
    folder.write("file", b"old")

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), die)
    with pytest.raises(KeyboardInterrupt):
        folder.write("file", b"new")
    monkeypatch.undo()
    assert folder.read("file") == b"old"
    assert folder.names() == ["file"]


def test_temporary_names_are_invisible_and_can_be_removed(folder):
    for name in (f"{TEMPORARY}x", f"{TEMPORARY}y/file", "kept", f"sub/{TEMPORARY}z", "sub/kept"):
        folder.write(name, b"")
    assert folder.names() == ["kept", "sub"] and folder.names("sub") == ["kept"]
    folder.remove_temporary()
    assert [folder.exists(name) for name in (f"{TEMPORARY}x", f"{TEMPORARY}y", "kept")] == [False, False, True]
    assert folder.exists(f"sub/{TEMPORARY}z")
    folder.remove_temporary("sub")
    assert not folder.exists(f"sub/{TEMPORARY}z") and folder.exists("sub/kept")
    folder.remove_temporary("absent")


# ---- whole folders


def test_a_new_folder_appears_whole_and_sealed(folder):
    with folder.new_folder("deep/new") as filling:
        (filling / "a").write_bytes(b"1")
        assert not folder.exists("deep/new")
        assert folder.names("deep") == []
        (filling / "b").write_bytes(b"22")
    assert stored(folder, "deep/new") == {"a": b"1", "b": b"22"}
    with folder.local("deep/new") as files:
        assert verify(files) is None
    assert not filling.exists()


def test_a_new_folder_whose_filling_fails_leaves_nothing(folder):
    with pytest.raises(RuntimeError, match="inside"), folder.new_folder("deep/new") as filling:
        (filling / "a").write_bytes(b"1")
        raise RuntimeError("inside")
    assert not folder.exists("deep/new") and not filling.exists()
    folder.remove_temporary("deep")
    assert folder.names("deep") == []


def test_a_new_folder_replaces_the_old_one_as_a_whole(folder):
    fill(folder, "x", a=b"1", old=b"1")
    fill(folder, "x", a=b"2", new=b"2")
    assert stored(folder, "x") == {"a": b"2", "new": b"2"}
    with folder.local("x") as files:
        assert verify(files) is None
    assert folder.names() == ["x"]


def test_a_replacement_that_fails_leaves_the_old_folder(folder):
    fill(folder, "x", a=b"1")
    with pytest.raises(RuntimeError), folder.new_folder("x") as filling:
        (filling / "a").write_bytes(b"2")
        raise RuntimeError
    assert stored(folder, "x") == {"a": b"1"}


def test_on_other_storage_the_manifest_arrives_last(remote, monkeypatch):
    folder = Folder("mock://run")
    order = []
    write = Folder.write
    monkeypatch.setattr(Folder, "write", lambda self, name, content: (order.append(name), write(self, name, content)))
    fill(folder, "x", z=b"1", a=b"1")
    assert order[-1] == f"x/{MANIFEST}" and sorted(order[:-1]) == ["x/a", "x/z"]


def test_a_stored_folder_is_a_local_path_for_reading(folder, tmp_path):
    fill(folder, "x", a=b"1", b=b"22")
    with folder.local("x") as files:
        assert {file.name: file.read_bytes() for file in files.iterdir() if file.name != MANIFEST} == {
            "a": b"1",
            "b": b"22",
        }
    assert files.exists() == folder.is_local


def test_a_folder_itself_is_a_local_path_for_reading(folder):
    fill(folder, "x", a=b"1")
    with (folder / "x").local("") as files:
        assert verify(files) is None
        assert (files / "a").read_bytes() == b"1"


# ---- names


def test_a_folder_survives_pickling(folder):
    folder.write("a", b"1")
    again = pickle.loads(pickle.dumps(folder))
    assert (again.uri, again.path, again.is_local) == (folder.uri, folder.path, folder.is_local)
    assert again.read("a") == b"1"


def test_a_subfolder_is_a_folder(folder):
    (folder / "a/b").write("c", b"1")
    assert folder.read("a/b/c") == b"1"
    assert str(folder / "a") == f"{folder}/a"


def test_a_file_uri_is_a_local_folder(tmp_path):
    folder = Folder(f"file://{tmp_path}/run")
    folder.make()
    fill(folder, "x", a=b"1")
    assert folder.is_local and str(folder) == str(tmp_path / "run")
    assert (tmp_path / "run/x/a").read_bytes() == b"1"
    assert (folder / "x").path == str(tmp_path / "run/x")


@pytest.mark.parametrize("prefix", ["", "file://"])
@pytest.mark.parametrize("name", ["a b", "\u00fc-\u6a21\u578b", "100%25", "a#b"])
def test_odd_names_stay_as_they_are_under_a_path_and_under_a_uri(tmp_path, prefix, name):
    folder = Folder(f"{prefix}{tmp_path}") / name
    folder.make()
    folder.write("file", b"1")
    assert (tmp_path / name / "file").read_bytes() == b"1"


def test_a_relative_path_and_a_tilde_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Folder("a").path == str(tmp_path / "a")
    assert Folder("~/a").path == str(tmp_path / "home/a")


@pytest.mark.parametrize("uri", ["gopher://host/x", "://", "s3:// /", "file://host\x00/x"])
def test_a_bad_uri_is_refused_and_named(uri):
    with pytest.raises(ValueError, match=r"storage .* cannot be opened"):
        Folder(uri)


def test_a_folder_that_cannot_be_made_is_refused_and_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=f"storage folder {tmp_path}/file/x cannot be made"):
        Folder(str(tmp_path / "file/x")).make()


@pytest.mark.parametrize(
    ("uri", "parent", "name"),
    [
        ("/data/runs/a", "/data/runs", "a"),
        ("s3://bucket/runs/a?region=x", "s3://bucket/runs?region=x", "a"),
    ],
)
def test_a_folder_knows_its_name_and_the_folder_above(uri, parent, name):
    folder = Folder(uri)
    assert (folder.parent.uri, folder.name) == (parent, name)
    assert (folder.parent / name).uri == uri
