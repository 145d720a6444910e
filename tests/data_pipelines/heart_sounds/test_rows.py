"""What is stored of a recording, and what is counted of it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_pipelines.heart_sounds import rows
from data_pipelines.heart_sounds.config import HeartData, Synthetic
from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.heart_sounds.rows import count_rows, store_recording
from data_pipelines.heart_sounds.signal.segmentation import States
from data_pipelines.prepared.prepare import prepare
from data_pipelines.readers.sound_file import Sound
from data_pipelines.storage.folder import Folder

DATA = HeartData(sample_rate=1000, num_samples=128, synthetic=Synthetic(num_subjects=12, duration_s=4))
NOISE = Sound(np.random.default_rng(0).normal(size=8 * 1000), 1000)


def store(sound: Sound, states: Callable[[], Any] = lambda: None, **changes: Any) -> dict[str, Any]:
    recording = Recording("r", "s", "folder", {}, "folder", read=lambda: sound, read_states=states)
    return store_recording(recording, 0, DATA.model_copy(update=changes))


def first_sounds_at(*seconds: float) -> Callable[[], States]:
    return lambda: States(np.array(seconds), np.array(seconds) + 0.1, np.ones(len(seconds), dtype=int))


def test_intervals_too_long_for_a_cycle_are_found_and_dropped():
    row = store(NOISE, first_sounds_at(0.5, 1.3, 2.1, 4.6, 5.4))
    assert (row["num_found"], row["has_beat"]) == (4, 1)
    assert list(zip(row["starts"], row["ends"], strict=True)) == [(500, 1300), (1300, 2100), (4600, 5400)]


def test_windows_of_a_silent_recording_are_filtered_out(caplog):
    silence = Sound(np.zeros(4000), 1000)
    row = store(silence)
    assert (row["num_found"], row["has_beat"], len(row["starts"])) == (0, 0, 5)
    assert "no heart beat found; cut into windows of 0.8 s" in caplog.text
    assert store(silence, filters_cycles=True)["starts"] == []


def test_a_cycle_with_one_click_is_dropped_by_the_filter_alone():
    made = generate_heart_sound(np.random.default_rng(1), duration_s=8, beats_per_min=70).sound
    samples = 0.001 * made.samples
    samples[round(3.0 * made.rate)] = 1.0
    states = first_sounds_at(0.5, 1.4, 2.3, 3.2, 4.1)
    found = [store(Sound(samples, made.rate), states, filters_cycles=filters) for filters in (False, True)]
    assert [len(row["starts"]) for row in found] == [4, 3] and [row["num_found"] for row in found] == [4, 4]


def test_rows_are_counted_by_their_group():
    known = [([0, 5], 3, 1), ([0], 1, 1), ([], 2, 1), ([0, 8, 16], 0, 0)]
    table = pa.table(dict(zip(("starts", "num_found", "has_beat"), map(list, zip(*known, strict=True)), strict=True)))
    names = ("recordings", "recordings_kept", "cycles", "cycles_kept", "recordings_without_beat")
    assert count_rows(table, ["a", "b", "a", "b"]) == {
        "a": dict(zip(names, (2, 1, 5, 2, 0), strict=True)),
        "b": dict(zip(names, (2, 2, 1, 1, 1), strict=True)),
    }


@pytest.mark.parametrize("task", ["synthetic_murmur", None])
def test_manifest_counts_stay_exact_over_an_interruption(task, tmp_path, monkeypatch):
    read, calls = rows.read_recording, []

    def read_five(*arguments: Any) -> dict[str, Any]:
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return read(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("data_pipelines.heart_sounds.store.read_recording", read_five)
        prepare(HeartPipeline(DATA, task), Folder(str(tmp_path / "p")), rows_per_shard=2)
    pipeline = HeartPipeline(DATA, task)
    counts = prepare(pipeline, Folder(str(tmp_path / "p"))).counts
    for split, num_rows in pipeline.num_raw_rows().items():
        assert sum(numbers["recordings"] for numbers in counts.get(split, {}).values()) == num_rows
    assert set(counts["train"]) == ({"normal", "murmur"} if task else {"synthetic"})
    found = [len(row["starts"]) for table in pipeline.read_raw("train", 0) for row in table.to_pylist()]
    assert sum(numbers["cycles_kept"] for numbers in counts["train"].values()) == sum(found)
