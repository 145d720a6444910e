"""The pipeline of clips: rows, keys, and windows of true stride that never cross a clip."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from data_pipelines.contract.row_draws import numpy_draws, torch_draws
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder
from data_pipelines.video.batch import change_windows
from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline
from tests.video_fixtures import save_frames

DIGITS = {"num_train_clips": 6, "num_test_clips": 2, "num_frames": 12, "digit_size": 8}


def build(**settings: object) -> VideoPipeline:
    return VideoPipeline(VideoData.model_validate({"height": 16, "width": 16, "digits": DIGITS, **settings}))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Clips of different lengths; the level of every frame tells clip and place."""
    for clip, (first, count) in enumerate([(0, 12), (50, 9), (100, 20), (150, 11), (200, 13)]):
        save_frames(tmp_path / f"raw/c{clip}", range(first, first + count))
    return tmp_path / "raw"


def load_all(pipeline: VideoPipeline, folder: Path, split: str):
    manifest = load_manifest(Folder(str(folder)), pipeline)
    opened = open_split(Folder(str(folder)), manifest, split)  # type: ignore[arg-type]
    return [opened.load(index, pipeline) for index in range(len(opened.shards))]


def test_a_row_is_a_clip_and_holds_every_frame_once(raw, tmp_path):
    pipeline = build(source="frames", path=raw)
    manifest = prepare(pipeline, Folder(str(tmp_path / "prepared")), rows_per_shard=3)
    assert (manifest.num_rows("train"), manifest.num_rows("test")) == (4, 1)
    assert len(manifest.splits["train"]) == 2
    rows = [row for table in load_all(pipeline, tmp_path / "prepared", "train") for row in table.to_pylist()]
    assert [(row["name"], row["num_frames"]) for row in rows] == [("c0", 12), ("c1", 9), ("c2", 20), ("c3", 11)]
    frames = np.frombuffer(rows[2]["frames"], np.uint8).reshape(20, 3, 16, 16)
    assert frames[:, 0, 5, 5].tolist() == list(range(100, 120))


def test_windows_have_the_true_stride_and_never_cross_clips(raw, tmp_path):
    pipeline = build(source="frames", path=raw, num_past=2, num_future=2, sample_interval=2)
    prepare(pipeline, Folder(str(tmp_path / "prepared")))
    (table,) = load_all(pipeline, tmp_path / "prepared", "train")
    seen: dict[int, set[int]] = {row: set() for row in range(4)}
    for seed in range(300):
        windows = pipeline.collate_train(table, numpy_draws(table.num_rows, seed))
        assert windows["past"].shape == windows["future"].shape == (4, 2, 3, 16, 16)
        levels = torch.cat([windows["past"], windows["future"]], dim=1)[:, :, 0, 8, 8].tolist()
        for row, (first, second, third, fourth) in enumerate(levels):
            assert (second - first, third - second, fourth - third) == (2, 2, 2)
            seen[row].add(first)
    starts = {
        row: set(range(base, base + count - 6))
        for row, (base, count) in enumerate([(0, 12), (50, 9), (100, 20), (150, 11)])
    }
    assert seen == starts, "every place where a whole window fits, and no other"


def test_other_windows_need_no_other_rows(raw):
    one, other = build(source="frames", path=raw), build(source="frames", path=raw, num_past=1, sample_interval=2)
    assert one.key == other.key
    assert build(source="frames", path=raw, width=24).key != one.key
    long = [build(source="frames", path=raw, max_clip_frames=32, num_past=num_past) for num_past in (19, 20)]
    assert long[0].key != long[1].key, "such windows decide how long clips are cut"


def test_one_change_is_drawn_for_all_frames_of_a_window():
    ramp = torch.arange(4, dtype=torch.uint8).expand(64, 3, 1, 2, 4) * 20 + 50
    windows = {"past": ramp, "future": ramp[:, :2]}
    changed = change_windows(windows, flips=True, brightness=0.5, draws=torch_draws(64, 0))
    assert torch.equal(changed["past"][:, :2], changed["future"])
    assert all(
        torch.equal(frames[:, 0], frames[:, time]) for frames in changed.values() for time in range(frames.shape[1])
    )
    is_mirrored = changed["past"][:, 0, 0, 0, 0] > changed["past"][:, 0, 0, 0, 3]
    assert 16 < is_mirrored.sum() < 48
    sums = changed["past"].float().sum(dim=(1, 2, 3, 4))
    assert sums.unique().numel() > 32
    assert torch.equal(windows["past"], ramp)


@pytest.mark.parametrize("settings", [{"horizontal_flip": True}, {"brightness": 0.3}, {}])
def test_augmentation_is_only_what_was_asked_for(settings):
    pipeline = build(**settings)
    batch = pipeline.collate_train(pipeline.make_fake_rows(8, 0), numpy_draws(8, 0))
    plain = build().augment(batch, draws=torch_draws(8, 1))
    changed = pipeline.augment(batch, draws=torch_draws(8, 1))
    assert torch.equal(plain["past"], changed["past"]) == (not settings)


def test_clips_shorter_than_a_window_are_named(raw):
    pipeline = build(source="frames", path=raw, sample_interval=2, num_past=3, num_future=3)
    with pytest.raises(ValueError, match=r"c1, 00050\.png to 00058\.png, has 9 frames; .* needs 11"):
        pipeline.num_raw_rows()


def test_a_prepared_clip_shorter_than_a_window_is_named(raw, tmp_path):
    prepare(build(source="frames", path=raw), Folder(str(tmp_path / "prepared")))
    longer = build(source="frames", path=raw, num_future=6)
    with pytest.raises(ValueError, match=r"clip c1 \(row 1 of .*train-00000\.parquet\) has 9 frames.* needs 10"):
        load_all(longer, tmp_path / "prepared", "train")


def test_prepared_clips_can_be_used_when_the_raw_ones_are_gone(raw, tmp_path):
    first = build(source="frames", path=raw)
    prepare(first, Folder(str(tmp_path / "prepared")))
    later = build(source="frames", prepared=tmp_path / "prepared")
    assert later.key == first.key and later.data_spec() == first.data_spec()
    with pytest.raises(ValueError, match=r"needs `workload\.data\.path`"):
        _ = build(source="frames").key


def test_the_pipeline_travels_without_its_listing(raw):
    pipeline = build(source="frames", path=raw)
    pipeline.num_raw_rows()
    assert "_raw" not in pickle.loads(pickle.dumps(pipeline)).__dict__


def test_the_hash_changes_with_a_frame(raw):
    before = build(source="frames", path=raw).source_hash()
    save_frames(raw / "c0", range(1), width=21)
    assert build(source="frames", path=raw).source_hash() != before


def test_generated_clips_say_so():
    pipeline = build()
    assert "generated" in pipeline.source and pipeline.data_spec()["split_rule"].startswith("generated")
    assert pipeline.num_raw_rows() == {"train": 6, "test": 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_clip_frames": 7}, r"max_clip_frames.*at least the 8 frames"),
        ({"digits": {"digit_size": 16}}, r"digit_size.*no room to move"),
        ({"sample_interval": 2}, r"num_frames.*at least the 15 frames"),
    ],
)
def test_settings_that_leave_no_window_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        build(**settings)


@pytest.mark.skipif("QUINTET_DRIVING_FRAMES" not in os.environ, reason="needs QUINTET_DRIVING_FRAMES, a frame folder")
def test_real_driving_frames_are_read(tmp_path):
    pipeline = build(source="frames", path=Path(os.environ["QUINTET_DRIVING_FRAMES"]), height=36, width=64)
    manifest = prepare(pipeline, Folder(str(tmp_path / "prepared")))
    assert manifest.num_rows("train") >= 1 and manifest.num_rows("test") >= 1
