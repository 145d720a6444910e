"""Stored recordings and the cycles that they are decoded to."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from data_pipelines.contract.pipeline import Split
from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.heart_sounds.config import HeartData, Synthetic
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.sources import list_recordings, repetitions, split_by_subject
from data_pipelines.heart_sounds.tasks import TaskName
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_physionet, write_wav

SMALL = Synthetic(num_subjects=12, recordings_per_subject=2, duration_s=4)


def settings(**changes) -> HeartData:
    return HeartData(**{"sample_rate": 2000, "num_samples": 400, "synthetic": SMALL, **changes})


@pytest.fixture
def circor(tmp_path):
    murmurs = ["Present", "Absent", "Absent", "Unknown"]
    patients = {
        str(100 + n): {"Murmur": murmurs[n % 4], "Outcome": ["Normal", "Abnormal"][n % 2], "Additional ID": "nan"}
        for n in range(16)
    }
    patients["100"]["Additional ID"] = "115.0"
    write_circor(tmp_path / "circor", patients)
    return tmp_path / "circor"


def test_a_recording_is_stored_once_and_decoded_to_its_cycles():
    pipeline = HeartPipeline(settings(), "synthetic_murmur")
    table = next(iter(pipeline.read_raw("train", 3)))
    row = table.to_pylist()[0]
    decoded = pipeline.decode(table)
    assert table.num_rows == 1 and decoded.num_rows == len(row["starts"]) > 2
    waveform = np.frombuffer(row["waveform"], "<i2") * row["scale"]
    assert waveform.std() == pytest.approx(1, abs=0.01)
    batch = pipeline.collate(decoded)
    start, end = row["starts"][1], row["ends"][1]
    expected = np.interp(np.linspace(start, end - 1, 400), np.arange(start, end), waveform[start:end])
    assert batch["signal"][1].numpy() == pytest.approx(expected, abs=1e-3)
    assert float(batch["duration_s"][1]) == pytest.approx((end - start) / 2000)
    assert set(batch["recording"].tolist()) == {row["recording"]}


def test_prepared_shards_know_how_many_samples_they_decode_to(tmp_path):
    pipeline = HeartPipeline(settings(), "synthetic_murmur")
    manifest = prepare(pipeline, Folder(str(tmp_path / "p")), rows_per_shard=3)
    rows = sum(pipeline.decode(table).num_rows for table in pipeline.read_raw("val", 0))
    assert manifest.num_samples("val") == rows > manifest.num_rows("val")
    (tmp_path / "p" / manifest.splits["val"][0].name).unlink()
    assert prepare(pipeline, Folder(str(tmp_path / "p"))) == manifest
    data_spec = load_manifest(Folder(str(tmp_path / "p")), pipeline).data_spec
    assert sum(map(len, data_spec["subjects"].values())) == 12


def test_the_prepared_folder_suffices_without_the_raw_data(circor, tmp_path):
    given = settings(circor=circor, prepared=tmp_path / "p")
    prepare(HeartPipeline(given, "circor_murmur"), Folder(str(tmp_path / "p")))
    for path in circor.iterdir():
        path.unlink()
    circor.rmdir()
    without = HeartPipeline(settings(prepared=tmp_path / "p"), "circor_murmur")
    assert load_manifest(Folder(str(tmp_path / "p")), without).data_spec == without.data_spec()
    assert prepare(without, Folder(str(tmp_path / "p"))).num_rows("train") > 0


def subjects_by_split(pipeline: HeartPipeline) -> dict[str, set[int]]:
    return {
        split: {int(row["subject"]) for table in pipeline.read_raw(split, 0) for row in table.to_pylist()}
        for split in pipeline.num_raw_rows()
    }


@pytest.mark.slow
@pytest.mark.parametrize("task", ["synthetic_murmur", "circor_murmur", "circor_outcome", "physionet2016", None])
def test_no_subject_is_on_two_sides(task, circor, tmp_path):
    write_physionet(tmp_path / "pn", {f"{d}{n:04d}": ["1", "-1"][n % 2] for d in "ab" for n in range(8)})
    data = settings(circor=circor, physionet2016=tmp_path / "pn", val_ratio=0.2)
    sides = list(subjects_by_split(HeartPipeline(data, task)).values())
    assert all(sides[:2]) and sum(map(len, sides)) == len(set().union(*sides))


def test_a_child_of_both_campaigns_is_two_patients_in_one_split(circor):
    pipeline = HeartPipeline(settings(circor=circor), "circor_murmur")
    rows = [
        row for split in pipeline.num_raw_rows() for table in pipeline.read_raw(split, 0) for row in table.to_pylist()
    ]
    assert len({row["subject"] for row in rows}) == 15 and len({row["patient"] for row in rows}) == 16
    child = next(row for row in rows if row["recording"] == 0)
    labels = {row["patient"]: row["label"] for row in rows if row["subject"] == child["subject"]}
    assert sorted(labels.values()) == [0, 1]  # Present in one campaign, Unknown in the other


def test_people_with_recordings_of_several_classes_are_warned_of(tmp_path, caplog):
    write_physionet(tmp_path, {f"a{n:04d}": ["1", "-1"][n % 2] for n in range(12)})
    (tmp_path / "annotations").mkdir()
    rows = "\n".join(f"a{n:04d},C{min(n, 10)}S0" for n in range(12))
    (tmp_path / "annotations/Online Appendix_training set.csv").write_text(
        f"Challenge record name,Original record name\n{rows}"
    )
    HeartPipeline(settings(physionet2016=tmp_path), "physionet2016").data_spec()
    assert "people with recordings of several classes: 1, such as physionet2016:a:10; scores by patient" in caplog.text


@pytest.mark.parametrize(
    ("inaudible", "trained"),
    [("patient", ["Present"] * 2), ("heard", ["Present", "Absent"]), ("left_out", ["Present"])],
)
def test_places_without_a_murmur_are_trained_as_the_setting_says(inaudible, trained, tmp_path):
    ill = {"Murmur": "Present", "Murmur locations": "AV", "Outcome": "Abnormal"}
    write_circor(tmp_path, {str(100 + n): ill if n % 2 else {**ill, "Murmur": "Absent"} for n in range(12)})
    data = settings(circor=tmp_path, inaudible=inaudible)
    pipeline = HeartPipeline(data, "circor_murmur")
    spec = pipeline.data_spec()
    rows = {
        split: [row for table in pipeline.read_raw(split, 0) for row in table.select(["label", "patient"]).to_pylist()]
        for split in ("train", "test")
    }
    classes = spec["class_names"]
    for split, found in rows.items():
        for number, name in enumerate(spec["patients"]):
            labels = [classes[row["label"]] for row in found if row["patient"] == number]
            expected = trained if split == "train" else ["Present"] * 2
            assert labels in ([], expected if int(name[-1]) % 2 else ["Absent"] * 2)
    assert spec["class_recordings"]["train"]["Present"] == sum(row["label"] == 0 for row in rows["train"]) > 0
    assert (pipeline.key == HeartPipeline(settings(circor=tmp_path), "circor_murmur").key) == (inaudible == "patient")


def test_a_held_out_database_is_the_complete_test_set(tmp_path):
    write_physionet(tmp_path, {f"{d}{n:04d}": ["1", "-1"][n % 2] for d in "abc" for n in range(4)})
    data = settings(physionet2016=tmp_path, held_out_database="b", val_ratio=0.2)
    subjects = split_by_subject(data, "physionet2016", list_recordings(data, "physionet2016"))
    assert subjects["test"] == [f"physionet2016:b:b{n:04d}" for n in range(4)]
    assert not any(":b:" in name for name in subjects["train"] + subjects["val"])
    with pytest.raises(ValueError, match="held_out_database is 'f', of which there are no recordings"):
        split_by_subject(data.model_copy(update={"held_out_database": "f"}), "physionet2016",
                         list_recordings(data, "physionet2016"))  # fmt: skip


def subjects_of(data: HeartData, task: TaskName | None) -> dict[str, list[str]]:
    return HeartPipeline(data, task).data_spec()["subjects"]


def test_pretraining_withholds_test_subjects_at_any_val_ratio():
    people = SMALL.model_copy(update={"num_subjects": 40})
    tested = set(subjects_of(settings(synthetic=people), "synthetic_murmur")["test"])
    everyone = subjects_of(settings(synthetic=people, val_ratio=0.1), None)
    kept = subjects_of(settings(synthetic=people, val_ratio=0.1, withheld_tasks=["synthetic_murmur"]), None)
    assert len(tested) == 6 and tested < set(everyone["train"] + everyone["val"])
    assert set(kept["train"] + kept["val"]) == set(everyone["train"] + everyone["val"]) - tested


def test_subjects_tested_by_several_tasks_are_withheld(circor, tmp_path):
    for name in "ab":
        rows = "".join(f"{name},set_{name}/normal__{n}_1_A.wav,{['normal', 'murmur'][n % 2]},\n" for n in range(8))
        for number in range(8):
            write_wav(tmp_path / f"pascal/set_{name}/normal__{number}_1_A.wav", seed=number)
        (tmp_path / f"pascal/set_{name}.csv").write_text(f"dataset,fname,label,sublabel\n{rows}")
    data = settings(circor=circor, pascal=tmp_path / "pascal")
    tested = {*subjects_of(data, "circor_murmur")["test"], *subjects_of(data, "pascal")["test"]}
    first = {"val_ratio": 0.1, "pascal_sets": ["a", "b"], "withheld_tasks": ["circor_murmur", "pascal"]}
    kept = subjects_of(data.model_copy(update=settings(**first).model_dump(include=set(first))), None)
    assert {name.partition(":")[0] for name in tested} == {"circor", "pascal"}
    assert not tested & {*kept["train"], *kept["val"]} and any("pascal:a" in name for name in kept["train"])


def test_balancing_repeats_rare_training_cycles_only():
    data = settings(synthetic=SMALL.model_copy(update={"murmur_ratio": 0.25}), balances_classes=True)
    pipeline = HeartPipeline(data, "synthetic_murmur")
    words = [recording.labels["synthetic_murmur"] for recording in pipeline._chosen.splits["train"]]
    times = repetitions(("normal", "murmur"), words)
    assert times == {"normal": 1, "murmur": 3}
    expected: list[tuple[Split, int]] = [("train", 3), ("test", 1)]
    for split, rare in expected:
        for table in pipeline.read_raw(split, 0):
            row = table.to_pylist()[0]
            assert row["repetitions"] == (rare if row["label"] == 1 else 1)
            assert pipeline.decode(table).num_rows == row["repetitions"] * len(row["starts"])


def test_a_recording_without_a_beat_is_not_lost(tmp_path, caplog):
    for number in range(6):
        write_wav(tmp_path / f"{number}.wav", duration_s=0.4 if number == 0 else 3)
    pipeline = HeartPipeline(settings(folder=tmp_path, val_ratio=0.4), None)
    tables = [table for split in ("train", "val") for table in pipeline.read_raw(split, 0)]
    assert all(pipeline.decode(table).num_rows for table in tables)
    assert "0: no heart beat found; cut into windows" in caplog.text


def test_every_wav_file_of_a_folder_is_read_at_any_depth(tmp_path):
    names = ["ann/1", "bob/1", "bob/later/1", "2"]
    for number, name in enumerate(names):
        write_wav(tmp_path / f"{name}.{'WAV' if number == 1 else 'wav'}", seed=number)
    found = list_recordings(settings(folder=tmp_path), None)
    assert [recording.name for recording in found] == ["2", "ann/1", "bob/1", "bob/later/1"]
    assert len({recording.subject for recording in found}) == len(names)
    assert len({recording.read().samples.tobytes() for recording in found}) == len(names)


def test_a_folder_without_wav_files_is_named(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} holds no sound files"):
        list_recordings(settings(folder=tmp_path), None)


def test_pretraining_on_synthetic_data_by_default_is_warned_of(caplog):
    list_recordings(settings(), None)
    list_recordings(HeartData(), "synthetic_murmur")
    assert caplog.text == ""
    list_recordings(HeartData(), None)
    assert "no recordings are named, so made-up ones are used; give `workload.data.circor`" in caplog.text


def test_two_views_differ_in_pretraining_and_a_task_has_one():
    import torch

    cases: list[tuple[TaskName | None, set[str]]] = [
        (None, {"signal", "other_signal"}),
        ("synthetic_murmur", {"signal"}),
    ]
    for task, names in cases:
        pipeline = HeartPipeline(settings(augmentation={"shift_probability": 1}), task)
        batch = pipeline.collate(pipeline.decode(pipeline.make_fake_rows(4, 0)))
        views = pipeline.augment(batch, draws=torch_draws(len(batch["signal"]), 0))
        assert set(views) == set(batch) | names
        assert not torch.equal(views["signal"], batch["signal"])
        assert "other_signal" not in views or not torch.equal(views["signal"], views["other_signal"])


def test_the_frequency_mask_lies_in_the_pass_band_of_any_cycle():
    import torch

    only = dict.fromkeys(("shift", "stretch", "amplitude", "noise", "time_mask"), 0)
    augmentation = {f"{name}_probability": value for name, value in {**only, "frequency_mask": 1}.items()}
    pipeline = HeartPipeline(settings(augmentation={**augmentation, "frequency_mask_ratio": 0.5}), None)
    signal = torch.randn(64, 400, generator=torch.Generator().manual_seed(1))
    for duration_s in (0.3, 1.2):
        batch = {"signal": signal, "duration_s": torch.full((64,), duration_s)}
        found = pipeline.change(batch, torch_draws(64, 0))
        lost = (torch.fft.rfft(signal) - torch.fft.rfft(found)).abs().amax(0) > 1e-3
        hertz = torch.fft.rfftfreq(400, duration_s / 400)
        assert 25 <= float(hertz[lost].min()) < 40
        assert min(400, hertz[-1]) - 40 < float(hertz[lost].max()) <= 400


def test_wrong_rows_are_named(tmp_path):
    pipeline = HeartPipeline(settings(), "synthetic_murmur")
    table = pipeline.make_fake_rows(3, 0)
    for column, value, message in (
        ("label", 2, "row 3 has the label 2"),
        ("ends", [10**9], "row 3 has a cycle outside"),
    ):
        rows = table.to_pylist()
        rows[1][column] = value
        wrong = type(table).from_pylist(rows, schema=table.schema)
        with pytest.raises(ValueError, match=message):
            pipeline.check(wrong, data_spec=pipeline.data_spec(), file=tmp_path / "x", first_row=2)


def test_a_task_without_its_data_says_which_setting_is_missing():
    with pytest.raises(ValueError, match=r"circor_murmur needs `workload\.data\.circor`"):
        HeartPipeline(settings(), "circor_murmur").data_spec()


def test_settings_change_the_cache_key_but_augmentation_does_not():
    key = HeartPipeline(settings(), "synthetic_murmur").key
    assert HeartPipeline(settings(split_seed=1), "synthetic_murmur").key != key
    assert HeartPipeline(settings(shot_ratio=0.5), "synthetic_murmur").key != key
    assert HeartPipeline(settings(augmentation={"shift_ratio": 0.3}), "synthetic_murmur").key == key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"band_hz": (25, 1200)}, "`band_hz` is"),
        ({"val_ratio": 0.6, "test_ratio": 0.4}, "must be below 1"),
        ({"unit": "window", "window_s": 3.0}, "at most half"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        settings(**changes)


def test_a_recording_without_a_cycle_gives_no_rows():
    pipeline = HeartPipeline(settings(), None)
    (row,) = pipeline.make_fake_rows(1, seed=0).to_pylist()
    empty = {**row, "waveform": b"", "starts": [], "ends": []}
    for rows, expected in (([empty], 0), ([row, empty, row], 2)):
        table = pipeline.decode(pa.Table.from_pylist(rows, schema=pipeline.schema))
        assert table.num_rows == expected == len(pipeline.collate(table)["signal"])
