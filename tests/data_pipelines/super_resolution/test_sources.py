"""Which image is in which split, for every layout."""

import os
from pathlib import Path

import pytest

from data_pipelines.contract.pipeline import SPLITS, Split
from data_pipelines.super_resolution.config import SuperResolutionData
from data_pipelines.super_resolution.image_lists import (
    FilePair,
    ImageEntry,
    split_by_class_rule,
    split_by_folder_rule,
    take_val,
)
from data_pipelines.super_resolution.sources import list_images


def touch(root: Path, *names: str) -> None:
    """Empty files: listing reads no image."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root: Path | None, source: str, **settings) -> dict[Split, list[ImageEntry]]:
    data = SuperResolutionData.model_validate({"source": source, "path": root, **settings})
    return dict(list_images(data).entries)


def names(entries: dict[Split, list[ImageEntry]]) -> dict[str, list[str]]:
    return {split: [entry.name for entry in found] for split, found in entries.items()}


def test_2100_images_of_21_classes_are_split_945_105_1050(tmp_path):
    for number in range(21):
        touch(tmp_path, *(f"Images/class{number}/class{number}{image:02d}.tif" for image in range(100)))
    entries = listed(tmp_path, "uc_merced")
    assert [len(entries[split]) for split in SPLITS] == [945, 105, 1050]
    by_name = {entry.name: split for split in SPLITS for entry in entries[split]}
    assert len(by_name) == 2100
    for number in (0, 20):
        for image in range(100):
            expected = "test" if image % 2 == 1 else "val" if image in (0, 20, 40, 60, 80) else "train"
            assert by_name[f"Images/class{number}/class{number}{image:02d}.tif"] == expected


def test_class_folders_are_found_at_any_root_in_natural_order(tmp_path):
    touch(tmp_path, *(f"a/a{image}.png" for image in (10, 2, 1)), "b/b1.png", ".hidden/x.png")
    assert names(listed(tmp_path, "uc_merced")) == {
        "train": ["a/a10.png"],
        "val": ["a/a1.png", "b/b1.png"],
        "test": ["a/a2.png"],
    }


def test_every_rule_keeps_each_item_once():
    for rule in (split_by_class_rule, split_by_folder_rule, lambda items: take_val({"train": items, "test": []})):
        splits = rule(list(range(57)))
        assert sorted(item for items in splits.values() for item in items) == list(range(57))


def test_a_folder_is_split_by_order_or_as_its_folders_say(tmp_path):
    touch(tmp_path / "plain", *(f"deep/{image}.jpg" for image in range(12)), "notes.txt")
    found = names(listed(tmp_path / "plain", "folder"))
    assert found["val"] == ["deep/4.jpg"] and found["test"] == ["deep/9.jpg"] and len(found["train"]) == 10
    touch(tmp_path / "given", "train/a.png", "val/b.png", "test/c.png")
    assert names(listed(tmp_path / "given", "folder")) == {
        "train": ["train/a.png"],
        "val": ["val/b.png"],
        "test": ["test/c.png"],
    }
    touch(tmp_path / "half", *(f"train/{image}.png" for image in range(6)), "test/c.png")
    assert names(listed(tmp_path / "half", "folder"))["val"] == ["train/4.png"]


PAIRS = {
    "HR_x{s} beside LR_x{s}": ("HR_x2", "LR_x2", "HR_x4", "LR_x4"),
    "one HR": ("HR", "LR_x2", "HR", "LR_x4"),
    "x{s}/HR and x{s}/LR": ("x2/HR", "x2/LR", "x4/HR", "x4/LR"),
    "HR and LR_bicubic/X{s}": ("HR", "LR_bicubic/X2", "HR", "LR_bicubic/X4"),
    "GTmod12 and LRbicx{s}": ("GTmod12", "LRbicx2", "GTmod12", "LRbicx4"),
}


def test_lr_file_names_may_carry_the_scale(tmp_path):
    touch(tmp_path, *(f"HR/{image}.png" for image in range(5)), *(f"LR_bicubic/X4/{image}x4.png" for image in range(5)))
    pair = FilePair(tmp_path / "HR/0.png", tmp_path / "LR_bicubic/X4/0x4.png")
    assert listed(tmp_path, "pairs")["train"][0] == ImageEntry("0.png", pairs={4: pair})


@pytest.mark.parametrize("layout", PAIRS)
@pytest.mark.parametrize("has_splits", [True, False])
def test_pairs_are_found_in_every_layout(tmp_path, layout, has_splits):
    folders = PAIRS[layout]
    parts = SPLITS if has_splits else ("",)
    for part in parts:
        touch(tmp_path, *(os.path.join(part, folder, f"{image}.tif") for folder in folders for image in range(5)))
    entries = listed(tmp_path, "pairs", scales=(4, 2))
    root = tmp_path / "train" if has_splits else tmp_path
    first = entries["train"][0]
    assert first == ImageEntry(
        "0.tif",
        pairs={
            2: FilePair(root / folders[0] / "0.tif", root / folders[1] / "0.tif"),
            4: FilePair(root / folders[2] / "0.tif", root / folders[3] / "0.tif"),
        },
    )
    assert [len(entries[split]) for split in SPLITS] == ([5, 5, 5] if has_splits else [4, 1, 0])


def test_a_pair_without_its_partner_is_named(tmp_path):
    touch(tmp_path, "HR_x4/a.tif", "HR_x4/b.tif", "LR_x4/a.tif", "LR_x4/c.tif")
    with pytest.raises(ValueError, match=r"only one of them holds b\.tif, c\.tif; every image needs both"):
        listed(tmp_path, "pairs")


def test_a_scale_without_folders_is_named_with_what_is_expected(tmp_path):
    touch(tmp_path, "HR_x4/a.tif", "LR_x4/a.tif")
    with pytest.raises(ValueError, match=r"no pairs of scale 3; expected the folders HR_x3 and LR_x3; HR and LR_x3"):
        listed(tmp_path, "pairs", scales=(4, 3))


def test_scales_with_other_images_are_refused(tmp_path):
    touch(tmp_path, "HR_x4/a.tif", "LR_x4/a.tif", "HR_x2/a.tif", "LR_x2/a.tif", "HR_x2/b.tif", "LR_x2/b.tif")
    with pytest.raises(ValueError, match=r"scale 4 has no pair for b\.tif"):
        listed(tmp_path, "pairs", scales=(4, 2))


def test_div2k_is_read_as_distributed(tmp_path):
    touch(tmp_path, *(f"DIV2K_train_HR/{image:04d}.png" for image in range(1, 21)))
    touch(tmp_path, *(f"DIV2K_valid_HR/{image:04d}.png" for image in range(801, 821)))
    touch(tmp_path, *(f"DIV2K_train_LR_bicubic/X4/{image:04d}x4.png" for image in range(1, 21)))
    entries = listed(tmp_path, "div2k", scales=(4, 2))
    assert [len(entries[split]) for split in SPLITS] == [20, 10, 20]
    low = tmp_path / "DIV2K_train_LR_bicubic/X4/0001x4.png"
    hr = tmp_path / "DIV2K_train_HR/0001.png"
    assert entries["train"][0] == ImageEntry("DIV2K_train_HR/0001.png", hr=hr, pairs={4: FilePair(hr, low)})
    assert [entry.name[-8:-4] for entry in entries["val"]] == [f"{image:04d}" for image in range(801, 811)]
    low.unlink()
    with pytest.raises(ValueError, match=r"0001\.png has no partner .*0001x4\.png"):
        listed(tmp_path, "div2k")


def test_the_photographs_are_there_and_no_scene_is_in_two_splits():
    entries = listed(None, "photographs")
    files = [entry.hr for split in SPLITS for entry in entries[split]]
    assert all(file is not None and file.is_file() for file in files)
    assert len(set(files)) == len(files) == 10
    assert not any("motorcycle_right" in str(file) for file in files)


@pytest.mark.parametrize(
    ("source", "files", "message"),
    [
        ("uc_merced", (), "no folder|not a folder|class folders"),
        ("uc_merced", ("a.png",), "has no class folders; for images without classes use source: folder"),
        ("uc_merced", ("a/notes.txt",), "holds no image; allowed: .png"),
        ("uc_merced", ("a/1.png",), r"has no images for train \(rule: each class"),
        ("folder", ("a.png",), "has no images for val"),
        ("pairs", ("val/HR_x4/a.png",), "holds val and no train"),
        ("div2k", ("a.png",), "DIV2K_train_HR is not a folder"),
    ],
)
def test_what_is_missing_is_explained(tmp_path, source, files, message):
    touch(tmp_path, *files)
    with pytest.raises(ValueError, match=message):
        listed(tmp_path, source)


def test_without_a_path_the_setting_is_named():
    with pytest.raises(ValueError, match=r"source: folder needs `workload\.data\.path`"):
        listed(None, "folder")


def test_a_link_to_a_parent_folder_brings_no_image_twice(tmp_path, caplog):
    touch(tmp_path, *(f"data/{number}.png" for number in range(20)), "data/notes.txt", "data/._0.png")
    (tmp_path / "data/again").symlink_to(tmp_path / "data")
    (tmp_path / "data/link.png").symlink_to(tmp_path / "data/3.png")
    listing = listed(tmp_path / "data", "folder")
    names = [entry.name for entries in listing.values() for entry in entries]
    assert sorted(names) == sorted(f"{number}.png" for number in range(20))
    assert "1 files are the same as another one" in caplog.text and "(ending .txt: 1)" in caplog.text


def test_a_link_from_test_to_train_is_refused(tmp_path):
    touch(tmp_path, *(f"data/train/{number}.png" for number in range(5)), "data/test/a.png")
    (tmp_path / "data/test/leak.png").symlink_to(tmp_path / "data/train/0.png")
    with pytest.raises(ValueError, match=r"leak\.png and .*0\.png are one file"):
        listed(tmp_path / "data", "folder")


@pytest.mark.parametrize("form", ["{0}_SRF_4_{1}.png", "{0}_x4_{1}.png", "{0}_{1}.png", "{0}-{1}.png"])
def test_pairs_may_lie_side_by_side(tmp_path, form):
    touch(tmp_path, *(form.format(f"img_{number:03d}", side) for number in range(10) for side in ("HR", "LR")))
    entries = listed(tmp_path, "pairs")
    assert sum(len(found) for found in entries.values()) == 10
    pair = entries["train"][0].pairs[4]
    assert pair == FilePair(tmp_path / form.format("img_000", "HR"), tmp_path / form.format("img_000", "LR"))
    with pytest.raises(ValueError, match=r"side by side, .*`workload\.data\.source: pairs`"):
        listed(tmp_path, "folder")


def test_a_side_without_a_partner_and_another_scale_are_named(tmp_path):
    touch(tmp_path, "a_SRF_4_HR.png", "a_SRF_4_LR.png", "b_SRF_4_HR.png")
    with pytest.raises(ValueError, match=r"b_SRF_4_HR\.png have no partner"):
        listed(tmp_path, "pairs")
    with pytest.raises(ValueError, match="holds pairs of the scales 4, and none of scale 2"):
        listed(tmp_path, "pairs", scales=[2])


def test_twins_of_a_pair_are_refused(tmp_path):
    touch(tmp_path / "a", "0_x4_HR.png", "0_x4_HR.tif", "0_x4_LR.png")
    with pytest.raises(ValueError, match=r"0_x4_HR\.png and 0_x4_HR\.tif are the same side of one pair"):
        listed(tmp_path / "a", "pairs")
    touch(tmp_path / "b", "1_x4_HR.png", "1_x4_LR.png", "1_HR.png", "1_LR.png")
    with pytest.raises(ValueError, match="are pairs of one name; keep one of them"):
        listed(tmp_path / "b", "pairs")
    touch(tmp_path / "c", "HR/0.png", "LR_bicubic/X4/0.png", "LR_bicubic/X4/0x4.png")
    with pytest.raises(ValueError, match=r"0\.png and 0x4\.png are the low resolution of one image"):
        listed(tmp_path / "c", "pairs")


def test_folders_of_splits_count_in_any_case(tmp_path, caplog):
    touch(tmp_path, *(f"Train/{number}.png" for number in range(3)), "valid/a.png", "test/b.png", "stray.png")
    entries = listed(tmp_path, "folder")
    assert [len(entries[split]) for split in SPLITS] == [3, 1, 1]
    assert "1 files outside of the splits' folders are left out: stray.png" in caplog.text
    (tmp_path / "Train").rename(tmp_path / "other")
    with pytest.raises(ValueError, match="holds val, test and no train; add the folder"):
        listed(tmp_path, "folder")


def test_splits_are_no_classes_and_a_linked_class_counts_once(tmp_path):
    touch(tmp_path / "a", "train/0.png", "test/1.png")
    with pytest.raises(ValueError, match="holds the folders train and test, which are no classes"):
        listed(tmp_path / "a", "uc_merced")
    touch(tmp_path / "b", *(f"{label}/{number}.png" for label in "ab" for number in range(4)))
    (tmp_path / "b/c").symlink_to(tmp_path / "b/a")
    entries = listed(tmp_path / "b", "uc_merced")
    assert sum(len(found) for found in entries.values()) == 8


def test_div2k_is_found_with_its_scales_in_small_letters(tmp_path):
    for part, number in (("train", "0001"), ("valid", "0801")):
        touch(tmp_path, f"DIV2K_{part}_HR/{number}.png", f"DIV2K_{part}_LR_bicubic/x4/{number}x4.png")
    assert listed(tmp_path, "div2k")["train"][0].pairs[4].lr.name == "0001x4.png"
