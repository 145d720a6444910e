"""Files that grow: the same bytes on a disk and in parts, whatever moment the writer is killed at."""

import itertools
from functools import partial
from pathlib import Path

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder import append_file
from ray_jobs.run_folder.append_file import AppendFile
from ray_jobs.run_folder.record_file import PARTS, RecordFile, find_parts, read_record, record_exists
from tests.s3_server import set_credentials, started_s3_server

NAME = "rows/file.jsonl"
FANOUT = 4


@pytest.fixture(autouse=True)
def with_few_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(append_file, "FANOUT", FANOUT)


class KilledError(BaseException):
    """End of the process in the middle of its work."""


class FragileFolder(Folder):
    """Folder of parts on a local disk, which is killed before its n-th change; folders are deleted file by file."""

    def __init__(self, uri: str, changes: int = 10**9):
        super().__init__(uri)
        self.is_local, self.changes = False, changes

    def write(self, name: str, content: bytes | memoryview) -> None:
        self._change()
        super().write(name, content)

    def delete(self, name: str) -> None:
        if self.is_folder(name):
            for file in sorted(self.find(name, ""), reverse=self.changes % 2 == 0):
                self._change()
                super().delete(file)
        self._change()
        super().delete(name)

    def _change(self) -> None:
        if self.changes == 0:
            raise KilledError
        self.changes -= 1


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path: Path) -> Folder:
    folder = FragileFolder(str(tmp_path))
    folder.is_local = request.param == "local"
    (tmp_path / "rows").mkdir()
    return folder


def line(number: int) -> bytes:
    return f"line {number} {'x' * (number % 7)}\n".encode()


def test_added_lines_are_read_before_and_after_a_merge_and_a_join(folder):
    file, content = AppendFile(folder, NAME), b""
    for number in range(3 * FANOUT + 5):
        file.append(line(number))
        content += line(number)
        assert read_record(folder, NAME) == content
    assert len(find_parts(folder, NAME)) == (0 if folder.is_local else 4 + 1)
    file.close()
    assert folder.read(NAME) == content and folder.names("rows") == ["file.jsonl"]
    file.append(line(0))
    AppendFile(folder, NAME).append(line(1))
    assert read_record(folder, NAME) == content + line(0) + line(1)


def test_replaced_content_counts_at_once(folder):
    file = AppendFile(folder, NAME)
    for content in (b"", b"b\n"):
        for number in range(FANOUT + 1):
            file.append(line(number))
        file.replace(content)
        assert read_record(folder, NAME) == content
        file.append(b"c\n")
        file.close()
        assert folder.read(NAME) == content + b"c\n"


def test_a_file_without_any_line_reads_as_empty(folder):
    assert read_record(folder, NAME) == b"" and not record_exists(folder, NAME)
    AppendFile(folder, NAME).append(b"a\n")
    assert record_exists(folder, NAME)


def test_a_reader_gets_each_line_once_while_parts_merge_and_join(folder):
    reader, seen = RecordFile(folder, NAME), []
    for number in range(24):
        file = AppendFile(folder, NAME)
        for part in range(3):
            file.append(line(3 * number + part))
            seen += reader.lines() if part != number % 3 else []
        if number % 10 == 9:
            file.close()
            seen += reader.lines()
    seen += reader.lines()
    assert seen == [line(number)[:-1] for number in range(3 * 24)]
    reader.rewind()
    assert len(list(reader.lines())) == len(seen)


def test_a_reader_begins_again_when_the_file_is_replaced(folder):
    reader, file = RecordFile(folder, NAME), AppendFile(folder, NAME)
    file.append(b"a\nb\n")
    assert list(reader.lines()) == [b"a", b"b"]
    file.replace(b"c\nd\n")
    file.append(b"e\n")
    assert list(reader.lines()) == [b"c", b"d", b"e"]


def test_a_missing_part_is_named(folder, tmp_path):
    folder.is_local = False
    file = AppendFile(folder, NAME)
    for _ in range(3):
        file.append(b"abc\n")
    folder.delete(find_parts(folder, NAME)[1].name)
    with pytest.raises(ValueError, match=r"file.jsonl: the part with bytes 4 to 8 is missing"):
        read_record(folder, NAME)


def test_a_folder_of_parts_that_was_copied_to_a_disk_is_joined(folder):
    folder.is_local = False
    AppendFile(folder, NAME).append(b"a\n")
    folder.is_local = True
    assert read_record(folder, NAME) == b"a\n"
    AppendFile(folder, NAME).append(b"b\n")
    assert folder.read(NAME) == b"a\nb\n" and folder.names("rows") == ["file.jsonl"]


def test_a_kill_at_any_change_loses_and_repeats_no_stored_line(tmp_path):
    for changes in itertools.count():
        place = str(tmp_path / str(changes))
        before, after, was_killed = _work_until(FragileFolder(place, changes))
        folder = FragileFolder(place)
        found = read_record(folder, NAME)
        assert found in (before, after), changes
        file = AppendFile(folder, NAME)
        for number in range(5):
            file.append(line(number))
            found += line(number)
            assert read_record(folder, NAME) == found, changes
        file.close()
        assert folder.read(NAME) == found and not folder.names(NAME + PARTS), changes
        if not was_killed:
            assert changes > 30
            return


def _work_until(folder: FragileFolder) -> tuple[bytes, bytes, bool]:
    """Work until the kill; returns the content before and after the last action, and whether it was interrupted."""
    content = b""
    file = AppendFile(folder, NAME)

    for step in range(20):
        if step in (8, 16):
            after = content[: len(content) // 2]
            act = partial(file.replace, after)
        elif step in (13, 19):
            after, act = content, file.close
        else:
            after = content + line(step)
            act = partial(file.append, line(step))
        try:
            act()
        except KilledError:
            return content, after, True
        content = after
    return content, content, False


def test_all_bytes_are_sent_at_most_twice_and_once_more_to_join(tmp_path, monkeypatch):
    set_credentials(monkeypatch)
    appends, lines = 4 * FANOUT, line(6) * 2000
    with started_s3_server() as server:
        folder, requests = Folder(server.uri("runs/x")), []
        file = AppendFile(folder, NAME)
        for _ in range(appends):
            before = len(server.requests)
            file.append(lines)
            requests.append(len(server.requests) - before)
        size = appends * len(lines)
        assert size < server.bytes_sent < 2.2 * size  # a tenth for what S3 is told beside the bytes
        assert requests[FANOUT + 1 : 2 * FANOUT] == requests[3 * FANOUT + 1 :] and max(requests) <= 15
        assert read_record(folder, NAME) == lines * appends
        file.close()
        assert server.bytes_sent < 3.3 * size
        assert folder.read(NAME) == lines * appends
