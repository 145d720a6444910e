"""Bags of the cycles of a recording: all cycles are kept, and drawn without repetition."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from data_pipelines.contract.row_draws import numpy_draws, torch_draws
from data_pipelines.heart_sounds.bags import draw_cycles
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.heart_sound.pretrain.config import PretrainConfig

PEOPLE = {"num_subjects": 12, "recordings_per_subject": 2, "duration_s": 4, "murmur_ratio": 0.25}
SAID = ("label", "subject", "patient", "recording", "is_good")


def pipeline_of(cycles_per_bag: int, **changes) -> HeartPipeline:
    settings = {"sample_rate": 1000, "num_samples": 128, "synthetic": PEOPLE, **changes}
    return HeartPipeline(HeartData(**settings, cycles_per_bag=cycles_per_bag), "synthetic_murmur")


def stored(pipeline: HeartPipeline) -> pa.Table:
    """Training rows, and behind the first one a recording without a cycle."""
    tables = list(pipeline.read_raw("train", 0))
    empty = {**tables[0].to_pylist()[0], "starts": [], "ends": []}
    return pa.concat_tables([tables[0], pa.Table.from_pylist([empty], schema=pipeline.schema), *tables[1:]])


@pytest.mark.parametrize("balances", [False, True])
def test_a_bag_has_all_cycles_of_its_recording(balances):
    single, bags = (pipeline_of(size, balances_classes=balances) for size in (1, 3))
    table = stored(bags)
    decoded = bags.decode(table)
    assert decoded.num_rows == sum(bags.count_decoded(table)) and 0 in bags.count_decoded(table)
    assert (decoded.num_rows > table.num_rows) == balances  # those of the rare class are repeated
    whole, expected = bags.collate(decoded), single.collate(single.decode(table))
    shares = whole.pop("bag_share")
    assert whole.keys() == expected.keys() and all(torch.equal(whole[name], expected[name]) for name in whole)
    assert float(shares.sum()) == pytest.approx(decoded.num_rows)
    parts = [bags.collate(decoded.slice(row, 1))["signal"] for row in range(decoded.num_rows)]
    assert torch.equal(torch.cat(parts), expected["signal"])


def test_drawn_cycles_do_not_repeat_and_are_equally_likely():
    lengths, uniform = np.full(6000, 5), np.random.default_rng(0).random((6000, 3))
    drawn = draw_cycles(lengths, uniform)
    assert all(len({*row}) == 3 for row in drawn.tolist())
    assert all(np.bincount(place, minlength=5) == pytest.approx([1200] * 5, abs=120) for place in drawn.T)
    pairs = np.bincount(drawn[:, 0] * 5 + drawn[:, 1], minlength=25).reshape(5, 5)
    assert pairs[~np.eye(5, dtype=bool)] == pytest.approx([300] * 20, abs=70) and not pairs.diagonal().any()


def test_a_bag_with_too_few_cycles_has_each_of_them_again():
    largest = 1 - 2.0**-53
    for numbers in ([0.0] * 5, [0.5] * 5, [largest] * 5):
        first, second = draw_cycles(np.array([2, 1]), np.array([numbers, numbers])).tolist()
        assert sorted(first[:2]) == [0, 1] and first == [*first[:2], *first[:2], first[0]]
        assert second == [0] * 5


@pytest.mark.parametrize("size", [2, 40])
def test_a_training_batch_has_the_drawn_cycles_of_each_recording(size):
    pipeline = pipeline_of(size)
    decoded = pipeline.decode(stored(pipeline))
    batch, whole = pipeline.collate_train(decoded, numpy_draws(decoded.num_rows, 0)), pipeline.collate(decoded)
    assert batch["signal"].shape == (decoded.num_rows, size, 128) and batch["duration_s"].shape == (len(decoded), size)
    for row in range(decoded.num_rows):
        mine = whole["recording"] == batch["recording"][row]
        known = list(zip(whole["signal"][mine].tolist(), whole["duration_s"][mine].tolist(), strict=True))
        drawn = list(zip(batch["signal"][row].tolist(), batch["duration_s"][row].tolist(), strict=True))
        places = [known.index(each) for each in drawn]
        is_first = [place not in places[:number] for number, place in enumerate(places)]
        assert is_first == batch["is_first"][row].tolist() and sum(is_first) == min(size, len(known))
        assert all(batch[name][row] == whole[name][mine][0] for name in SAID)
    again = pipeline.collate_train(decoded, numpy_draws(decoded.num_rows, 1))
    assert size == 40 or not torch.equal(again["signal"], batch["signal"])


def test_each_cycle_of_a_bag_is_augmented_by_itself():
    pipeline = pipeline_of(3, augmentation={"amplitude_probability": 1, "noise_probability": 0, "shift_probability": 0})
    decoded = pipeline.decode(stored(pipeline))
    batch = pipeline.collate_train(decoded, numpy_draws(decoded.num_rows, 0))
    changed = pipeline.augment(batch, draws=torch_draws(decoded.num_rows, 0))
    assert changed.keys() == batch.keys() and torch.equal(changed["is_first"], batch["is_first"])
    factors = (changed["signal"] * batch["signal"]).sum(dim=2) / batch["signal"].square().sum(dim=2)
    torch.testing.assert_close(changed["signal"], factors[..., None] * batch["signal"])
    assert len(factors.unique()) > 0.9 * factors.numel() and 0.9 <= factors.min() < factors.max() <= 1.1


def test_bags_of_any_size_are_prepared_once(tmp_path):
    single, few, many = (pipeline_of(size) for size in (1, 4, 8))
    assert few.key == many.key != single.key
    manifest = prepare(few, Folder(str(tmp_path / few.key)), rows_per_shard=5)
    assert manifest.num_samples("train") == manifest.num_rows("train") == few.num_raw_rows()["train"]
    before = prepare(single, Folder(str(tmp_path / single.key)), rows_per_shard=5)
    assert manifest.stores == before.stores  # the recordings lie where they did


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (FinetuneConfig, {"pooling": {"cycles": "attention"}}, "is attention and `data.cycles_per_bag` 1: attention"),
        (FinetuneConfig, {"data": {"cycles_per_bag": 8}}, r"`pooling\.cycles` is logits and `data\.cycles_per_bag` 8"),
        (FinetuneConfig, {"pooling": {"recordings": "attention"}}, r"pooling\.recordings"),
        (PretrainConfig, {"data": {"cycles_per_bag": 8}}, r"`data\.cycles_per_bag` is for fine-tuning only"),
    ],
)
def test_bags_and_attention_need_each_other(config, settings, message):
    with pytest.raises(ValidationError, match=message):
        config.model_validate(settings)
