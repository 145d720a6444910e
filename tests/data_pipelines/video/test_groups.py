from pathlib import Path

import pytest
from pydantic import ValidationError

from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline
from data_pipelines.video.sources import list_clips
from tests.video_fixtures import save_frames


def settings(path: Path, **changes) -> VideoData:
    return VideoData(source="frames", path=path, num_past=1, num_future=1, height=8, width=8, **changes)


def names(data: VideoData) -> dict[str, list[str]]:
    return {split: [clip.name for clip in clips] for split, clips in list_clips(data).clips.items()}


@pytest.fixture
def signers(tmp_path) -> Path:
    """Three signs of each of six signers, the signs first in one layout and the signers first in the other."""
    for signer in range(1, 7):
        for sign in ("again", "help", "no"):
            save_frames(tmp_path / f"by_sign/{sign}/signer{signer}", range(2))
            save_frames(tmp_path / f"by_signer/p{signer}/{sign}", range(2))
    return tmp_path


def test_without_groups_signers_are_in_both_splits(signers):
    found = names(settings(signers / "by_sign"))
    assert {name.split("/")[1] for name in found["train"]} & {name.split("/")[1] for name in found["test"]}


@pytest.mark.parametrize("group", [r"signer\d+", r"signer(\d+)$", r"/(.*)"])
def test_a_pattern_finds_the_groups(signers, group):
    found = names(settings(signers / "by_sign", group=group))
    assert found["test"] == ["again/signer6", "help/signer6", "no/signer6"]
    assert len(found["train"]) == 15 and not any("signer6" in name for name in found["train"])


def test_a_folder_level_is_a_group(signers):
    found = names(settings(signers, group=2))
    assert {name.split("/")[1] for name in found["test"]} == {"p6"} and len(found["train"]) == 33
    only = names(settings(signers / "by_signer", group=1))
    assert only["test"] == ["p6/again", "p6/help", "p6/no"] and len(only["train"]) == 15


def test_groups_that_the_users_folders_divide_are_named(signers, tmp_path):
    for split, signer in (("train", 1), ("train", 2), ("test", 2), ("test", 3)):
        save_frames(tmp_path / f"split/{split}/s{signer}/a", range(2))
    with pytest.raises(ValueError, match=r"1 groups \(s2\) are in the folders train and test"):
        list_clips(settings(tmp_path / "split", group=1))
    (tmp_path / "split/test/s2").rename(tmp_path / "split/test/s4")
    listing = list_clips(settings(tmp_path / "split", group=1))
    assert listing.rule == "the folders train, val and test" and len(listing.clips["test"]) == 2


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (7, "is in no folder of level 7; `group` is a folder's level"),
        ("person", "has a name in which 'person' finds nothing"),
        ("signer", "all 18 clips are of the one group signer"),
    ],
)
def test_groups_that_are_none_are_refused(signers, group, words):
    with pytest.raises(ValueError, match=words):
        list_clips(settings(signers / "by_sign", group=group))


def test_a_wrong_pattern_and_generated_clips_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="is no regular expression"):
        settings(tmp_path, group="signer(")
    with pytest.raises(ValidationError, match="`group` is for clips with names of their own"):
        VideoData(group="a")


def test_groups_give_other_rows_and_no_groups_the_key_of_before(signers):
    plain, grouped = (VideoPipeline(settings(signers / "by_sign", group=group)) for group in (None, r"\d+"))
    assert plain.key_settings == [256, {}, ""]
    assert plain.key != grouped.key
