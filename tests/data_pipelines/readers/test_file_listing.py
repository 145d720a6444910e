"""Listing of folders: what systems keep among the user's files is passed over, as hidden files are."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipelines.readers.file_listing import HIDDEN, list_files
from data_pipelines.readers.natural_order import visible_entries


@pytest.mark.parametrize(
    "name",
    [
        "._b.png",
        "Thumbs.db",
        "desktop.ini",
        "Icon\r",
        "@eaDir/a.png/SYNOPHOTO_THUMB_M.png",
        "$RECYCLE.BIN/b.png",
        "#recycle/b.png",
        "lost+found/b.png",
        "__MACOSX/b.png",
    ],
)
def test_what_systems_keep_among_files_is_passed_over(tmp_path: Path, name: str) -> None:
    for path in (tmp_path / "a.png", tmp_path / name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    listing = list_files(tmp_path, None)
    assert listing.files == [tmp_path / "a.png"] == visible_entries(tmp_path)
    assert listing.left_out == {HIDDEN: [tmp_path / name.partition("/")[0]]}


@pytest.mark.parametrize("lists", [lambda root: list_files(root, None), lambda root: visible_entries(root / "b")])
def test_a_folder_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lists: Callable[[Path], object]
) -> None:
    (tmp_path / "b").mkdir()
    scan, listed = os.scandir, os.listdir

    def refuse(path: str | Path) -> None:
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) or scan(path))
    monkeypatch.setattr(os, "listdir", lambda path: refuse(path) or listed(path))
    with pytest.raises(ValueError, match=r"/b: cannot be listed \(Permission denied\); allow it to be read"):
        lists(tmp_path)
