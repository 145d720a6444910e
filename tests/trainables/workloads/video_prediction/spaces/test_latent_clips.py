"""Latents that are stored once: what the rows hold, what they replace, and when they are made anew."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from data_pipelines.contract.row_draws import numpy_draws, torch_draws
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder
from data_pipelines.video.config import VideoData
from data_pipelines.video.pipeline import VideoPipeline
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import check_settings
from tests.trainables.workloads.video_prediction.conftest import DATA, NETWORK, save_autoencoder, tiny_config
from tests.video_fixtures import save_frames
from trainables.workloads.video_prediction.config import Latents
from trainables.workloads.video_prediction.spaces.latent_clips import LatentPipeline
from trainables.workloads.video_prediction.spaces.latents import load_vae

LATENT_DATA = {**DATA, "channels": 3}
WIDE_DATA = {**LATENT_DATA, "height": 16, "width": 32}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_autoencoder(tmp_path / "vae")


def build(folder: Path, data: dict[str, Any] = LATENT_DATA, **settings: Any) -> LatentPipeline:
    return LatentPipeline(Latents(weights=folder, is_stored=True, **settings), VideoData.model_validate(data))


def load(pipeline: LatentPipeline, folder: Path, split: Any) -> pa.Table:
    opened = open_split(Folder(str(folder)), prepare(pipeline, Folder(str(folder))), split)
    return pa.concat_tables([opened.load(index, pipeline) for index in range(len(opened.shards))])


def test_training_rows_hold_posteriors_and_other_splits_frames(folder, tmp_path):
    pipeline, frames = build(folder), VideoPipeline(VideoData.model_validate(LATENT_DATA))
    rows = load(pipeline, tmp_path / "prepared", "train").to_pylist()
    raw = pa.concat_tables(frames.read_raw("train", 0)).to_pylist()
    vae, _ = load_vae(folder)
    assert [row["name"] for row in rows] == [row["name"] for row in raw] and len(rows) == 4
    for row, clip in zip(rows, raw, strict=True):
        assert row["frames"] == b""
        stored = torch.from_numpy(np.frombuffer(row["latents"], "<f4").copy()).view(12, 8, 6, 8)
        images = torch.from_numpy(np.frombuffer(clip["frames"], np.uint8).copy()).view(12, 3, 12, 16).float()
        mean, log_variance = vae.quant_conv(vae.encoder(images / 127.5 - 1)).chunk(2, dim=1)
        torch.testing.assert_close(stored[:, :4], mean * 0.18215)
        torch.testing.assert_close(stored[:, 4:], (0.5 * log_variance).exp() * 0.18215)
    tested = load(pipeline, tmp_path / "prepared", "test")
    assert tested.select(frames.schema.names) == pa.concat_tables(frames.read_raw("test", 0))
    assert set(tested["latents"].to_pylist()) == {b""}
    assert torch.equal(pipeline.collate(tested)["frames"], frames.collate(tested)["frames"])


def test_encoding_without_a_gpu_warns_once_with_the_frame_count(folder, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    prepare(build(folder), Folder(str(tmp_path / "prepared")))
    told = [record.getMessage() for record in caplog.records if "on the CPU" in record.getMessage()]
    assert len(told) == 1 and "encodes the 48 training frames on the CPU" in told[0]


def test_a_window_of_latents_is_the_latents_of_the_same_window(folder, tmp_path):
    pipeline, frames = build(folder), VideoPipeline(VideoData.model_validate(LATENT_DATA))
    cut = pipeline.collate_train(load(pipeline, tmp_path / "data", "train"), numpy_draws(4, 5))
    windows = pipeline.augment(cut, draws=torch_draws(4, 0))
    raw = frames.collate_train(pa.concat_tables(frames.read_raw("train", 0)), numpy_draws(4, 5))
    space = tiny_task_space(folder)
    for name in ("past", "future"):
        torch.testing.assert_close(windows[name], space.encode(raw[name]))


def tiny_task_space(folder: Path):
    from trainables.workloads.video_prediction.spaces.latents import LatentSpace

    return LatentSpace(Latents(weights=folder), height=12, width=16)


def test_sampled_latents_are_drawn_around_the_mean(folder):
    mean, sample = build(folder), build(folder, posterior="sample")
    batch = mean.collate_train(mean.make_fake_rows(4, seed=0), numpy_draws(4, 0))
    drawn, means = (pipeline.augment(batch, draws=torch_draws(4, 1))["past"] for pipeline in (sample, mean))
    assert (drawn - means).std().item() == pytest.approx(0.01, rel=0.1) and sample.key == mean.key
    again = sample.augment(batch, draws=torch_draws(4, 1))["past"]
    assert torch.equal(drawn, again)


def run(tmp_path: Path, folder: Path, **latents: Any) -> list[dict[str, float]]:
    settings = {
        "workload": {
            "name": "video_prediction",
            "data": WIDE_DATA,
            "network": {"name": "dit", "size": "mini", "patch_size": 2, "past": {**NETWORK["past"], "patch_size": 2}},
            "latents": {"weights": str(folder), **latents},
            "diffusion": {"num_timesteps": 20},
            "evaluation": {"sampling": {"num_steps": 2}},
        },
        "training": {"epochs": 2, "passes_per_epoch": 2, "batch_size": 2, "ema": {"has_warmup": True}},
        "scaling": {"num_workers": 0, "threads_per_worker": 1},
        "storage": {"path": str(tmp_path)},
    }
    experiment = check_settings(settings, origin="test")
    train(experiment)
    inputs = json.loads(experiment.folder.read("inputs.json"))
    assert [entry["metadata"].get("setting") for entry in inputs[1:]] == ["workload.latents.weights"]
    assert inputs[0]["name"].startswith("latents-" if latents else "video-")
    return [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]


@pytest.mark.slow
def test_stored_latents_train_like_frames_encoded_in_every_step(tmp_path, folder):
    stored, encoded = run(tmp_path, folder, is_stored=True), run(tmp_path, folder)
    assert len(stored) == len(encoded) == 8 and "eval/psnr/t+3" in stored[-1]
    for one, other in zip(stored, encoded, strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_another_autoencoder_or_scale_makes_other_data(folder, tmp_path):
    pipeline, prepared = build(folder, {**LATENT_DATA, "prepared": tmp_path / "prepared"}), tmp_path / "prepared"
    manifest = prepare(pipeline, Folder(str(prepared)))
    assert manifest.pipeline == pipeline.key and manifest.data_spec["autoencoder"]["scale"] == 0.18215
    assert "encoded by" in manifest.source and pickle.loads(pickle.dumps(pipeline)).key == pipeline.key
    shard = prepared / manifest.splits["train"][0].name
    before = shard.read_bytes()
    shard.unlink()
    prepare(build(folder), Folder(str(prepared)))
    assert shard.read_bytes() == before
    other = save_autoencoder(tmp_path / "other", seed=1)
    for changed in (build(folder, scale=0.2), build(other)):
        assert changed.key != pipeline.key and changed.source_hash() == build(changed._folder).source_hash()
        with pytest.raises(ValueError, match="holds the data of latents-"):
            prepare(changed, Folder(str(prepared)))
    assert build(other).source_hash() != pipeline.source_hash()


def test_the_raw_data_may_be_gone_once_latents_are_stored(folder, tmp_path):
    for clip in range(3):
        save_frames(tmp_path / f"raw/c{clip}", range(8))
    data = {**LATENT_DATA, "source": "frames", "prepared": tmp_path / "prepared"}
    named = build(folder, {**data, "path": tmp_path / "raw"})
    prepare(named, Folder(str(tmp_path / "prepared")))
    alone = build(folder, data)
    assert alone.key == named.key and alone.data_spec() == named.data_spec()
    assert prepare(alone, Folder(str(tmp_path / "prepared"))).num_rows("train") == 2
    other = build(save_autoencoder(tmp_path / "other", seed=1), data)
    for call in (other.data_spec, lambda: prepare(other, Folder(str(tmp_path / "prepared")))):
        with pytest.raises(ValueError, match="holds the data of latents-"):
            call()
    with pytest.raises(ValueError, match=r"holds the data of latents-.*these settings ask for video-"):
        prepare(VideoPipeline(VideoData.model_validate(data)), Folder(str(tmp_path / "prepared")))


@pytest.mark.parametrize("damage", ["short", "nan"])
def test_damaged_latents_are_named(folder, damage):
    pipeline = build(folder)
    table = pipeline.make_fake_rows(3, seed=0)
    rows = table.to_pylist()
    values = np.frombuffer(rows[1]["latents"], "<f4").copy()
    values[7] = np.nan
    rows[1]["latents"] = rows[1]["latents"][:-4] if damage == "short" else values.tobytes()
    expected = {
        "short": "has .* bytes of latents, not those of its 6 frames",
        "nan": "holds latents that are not finite",
    }
    with pytest.raises(ValueError, match=f"row 11 {expected[damage]}"):
        pipeline.check(
            pa.Table.from_pylist(rows, schema=pipeline.schema), data_spec={}, file=Path("x.parquet"), first_row=10
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {**WIDE_DATA, "brightness": 0.1}}, r"`data\.brightness` change frames before they are encoded"),
        ({"evaluation": {"split": "train", "sampling": {"num_steps": 2}}}, r"`evaluation\.split` is train, but with"),
    ],
)
def test_settings_that_need_frames_are_refused(folder, settings, message):
    network = {"name": "simvp", "num_downsamplings": 1}
    config = {"data": WIDE_DATA, "network": network, "latents": {"weights": folder, "is_stored": True}}
    with pytest.raises(ValidationError, match=message):
        tiny_config(**{**config, **settings})
