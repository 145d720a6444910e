"""Listing of folders: what systems keep among the user's files is passed over, as hidden files are."""

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
