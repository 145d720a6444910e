"""The cache of files of other storage: read once, bounded, verified, and shared by several processes."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_pipelines.storage import file_cache as file_cache_module
from data_pipelines.storage.file_cache import FileCache, StoredFile
from data_pipelines.storage.folder import Folder

ROOT = Path(__file__).resolve().parents[3]
SIZE = 1000


@pytest.fixture
def store(tmp_path: Path, serve_mock, monkeypatch) -> Callable[[str], StoredFile]:
    """Writes a file of 1000 bytes to other storage; `reads` of the result counts the requests for any file."""
    (tmp_path / "bucket").mkdir()
    serve_mock(tmp_path / "bucket")

    def write(name: str) -> StoredFile:
        content = (name.encode() * SIZE)[:SIZE]
        Folder("mock://a").write(name, content)
        return StoredFile(Folder("mock://a"), name, SIZE, hashlib.sha256(content).hexdigest())

    return write


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Names of the files that were read from the storage."""
    names: list[str] = []
    read = Folder.read

    def note(self: Folder, name: str) -> bytes:
        names.append(name)
        return read(self, name)

    monkeypatch.setattr(Folder, "read", note)
    return names


@pytest.fixture
def cache(tmp_path: Path) -> FileCache:
    """Room for three files."""
    return FileCache(3 * SIZE, str(tmp_path / "cache"))


def content_of(file: pa.NativeFile, path: Path | None) -> bytes:
    return file.read()


def held(cache: FileCache) -> set[str]:
    return {path.name for path in cache.folder.iterdir() if not path.name.startswith(".")}


def test_a_second_read_sends_no_request(store, reads, cache):
    stored = store("x")
    assert cache.read(stored, content_of) == cache.read(stored, content_of) == b"x" * SIZE
    assert reads == ["x"] and held(cache) == {stored.sha256}


def test_the_files_unused_for_longest_make_room(store, reads, cache):
    files = {name: store(name) for name in "abcd"}
    for age, name in enumerate("abc"):
        cache.read(files[name], content_of)
        os.utime(cache.folder / files[name].sha256, ns=(age, age))
    cache.read(files["a"], content_of)  # used again, so that b is the oldest
    cache.read(files["d"], content_of)
    assert held(cache) == {files[name].sha256 for name in "acd"} and reads == list("abcd")


def test_a_file_larger_than_the_bound_is_read_but_not_kept(store, cache):
    small = FileCache(SIZE - 1, cache.path)
    assert small.read(store("x"), content_of) == b"x" * SIZE
    assert not small.folder.exists()


@pytest.mark.parametrize("damaged", [b"short", b"y" * SIZE])
def test_a_damaged_copy_is_fetched_anew(store, reads, cache, damaged, caplog):
    stored = store("x")
    cache.read(stored, content_of)
    (cache.folder / stored.sha256).write_bytes(damaged)

    def parse(file: pa.NativeFile, path: Path | None) -> bytes:
        content = file.read()
        if b"y" in content:
            raise pa.ArrowInvalid("crc")
        return content

    assert cache.read(stored, parse) == cache.read(stored, parse) == b"x" * SIZE
    assert reads == ["x", "x"]
    assert ("is damaged (crc), and is fetched anew" in caplog.text) == (len(damaged) == SIZE)


def test_content_that_cannot_be_parsed_is_fetched_once_more(store, reads, cache):
    def parse(file: pa.NativeFile, path: Path | None) -> bytes:
        raise pa.ArrowInvalid("crc")

    stored = store("x")
    for _ in range(2):
        with pytest.raises(pa.ArrowInvalid):
            cache.read(stored, parse)
    assert reads == ["x", "x"]


@pytest.mark.parametrize(
    ("content", "words"), [(b"y" * SIZE, "does not match its checksum"), (b"y", "has 1 bytes instead of 1000")]
)
def test_an_object_of_other_content_is_refused_and_not_kept(store, cache, content, words):
    stored = store("x")
    stored.folder.write("x", content)
    with pytest.raises(ValueError, match=words):
        cache.read(stored, content_of)
    assert not cache.folder.exists()


def test_a_reader_keeps_a_file_that_is_evicted(store, cache):
    files = [store(name) for name in "abcd"]
    for stored in files[:3]:
        cache.read(stored, content_of)
    for age, stored in enumerate(files[:3]):
        os.utime(cache.folder / stored.sha256, ns=(age, age))

    def evict(file: pa.NativeFile, path: Path | None) -> bytes:
        os.utime(cache.folder / files[0].sha256, ns=(0, 0))
        cache.read(files[3], content_of)
        assert files[0].sha256 not in held(cache)
        return file.read()

    assert cache.read(files[0], evict) == b"a" * SIZE


def test_what_a_killed_writer_left_is_removed(store, cache):
    cache.read(store("x"), content_of)
    left = cache.folder / ".tmp-left-12345678"
    left.write_bytes(b"0" * SIZE)
    cache.read(store("y"), content_of)
    assert not left.exists() and len(held(cache)) == 2


def test_a_cache_that_cannot_be_written_is_named_once(store, reads, tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"in the way")
    cache = FileCache(3 * SIZE, str(tmp_path / "file/cache"))
    for _ in range(2):
        assert cache.read(store("x"), content_of) == b"x" * SIZE
    assert reads == ["x", "x"] and caplog.text.count("cannot be written") == 1


def test_the_default_folder_is_the_users_own(store, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache = FileCache(3 * SIZE)
    cache.read(store("x"), content_of)
    assert cache.folder.parent == tmp_path and cache.folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(file_cache_module.os, "getuid", lambda: 12345)
    cache.folder.mkdir()  # the name that the other user's would have
    with pytest.raises(ValueError, match=r"belongs to another user .*storage\.cache_path"):
        cache.read(store("x"), content_of)


def test_a_link_in_place_of_the_default_folder_is_refused(store, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    cache = FileCache(3 * SIZE)
    cache.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="belongs to another user or is no folder"):
        cache.read(store("x"), content_of)


def test_threads_that_share_a_cache_read_right_and_keep_the_bound(store, cache):
    files = [store(name) for name in "abcdef"]
    wrong: list[Any] = []

    def work(seed: int) -> None:
        for number in range(60):
            stored = files[(number * (seed + 1)) % 6]
            if cache.read(stored, content_of) != stored.name.encode() * SIZE:
                wrong.append(stored)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(held(cache)) == 3


CHILD = """
import sys
from data_pipelines.storage.file_cache import FileCache, StoredFile
from data_pipelines.storage.folder import Folder
folder, path = sys.argv[1:3]
cache = FileCache(3000, path)
for number in range(200):
    name, digest = sys.argv[3 + number % 6].split(":")
    stored = StoredFile(Folder(folder), name, 1000, digest)
    assert cache.read(stored, lambda file, path: file.read()) == name.encode() * 1000
"""


def test_two_processes_share_a_cache(tmp_path, cache):
    """Their storage is a disk, which a cache is never asked for by readers of shards, but could be."""
    folder, words = Folder(str(tmp_path / "store")), []
    for name in "abcdef":
        folder.write(name, name.encode() * SIZE)
        words.append(f"{name}:{hashlib.sha256(name.encode() * SIZE).hexdigest()}")
    for arguments in (words, words[::-1]):
        assert len(arguments) == 6
    command = [sys.executable, "-c", CHILD, str(folder), str(cache.path)]
    children = [subprocess.Popen([*command, *arguments], cwd=ROOT) for arguments in (words, words[::-1])]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    assert len(held(cache)) == 3 and held(cache) <= {word.partition(":")[2] for word in words}
