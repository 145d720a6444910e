"""The real layouts of CirCor, PhysioNet 2016 and PASCAL with their known defects, in files made by code."""

import shutil

import numpy as np
import pytest
from scipy.io import wavfile

from data_pipelines.heart_sounds.datasets.circor import read_circor, read_states
from data_pipelines.heart_sounds.datasets.pascal2011 import join_key, read_pascal
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.readers.wfdb_header import read_heart_sound
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_physionet, write_wav

STATES = "0\t0.5\t0\n0.5\t0.6\t1\n0.6\t0.8\t2\n0.8\t0.9\t3\n0.9\t1.3\t4\n1.3\t1.4\t1\n"
PATIENTS = {
    "100": {"Murmur": "Present", "Outcome": "Abnormal", "Additional ID": "300.0"},
    "200": {"Murmur": "Absent", "Outcome": "Normal", "Additional ID": "nan"},
    "300": {"Murmur": "Unknown", "Outcome": "Normal", "Additional ID": "nan"},
}


@pytest.mark.parametrize("nesting", ["", "training_data", "training_data/training_data"])
def test_circor_is_found_however_deep_it_is_nested(tmp_path, nesting):
    write_circor(tmp_path / nesting, PATIENTS, states=STATES)
    found = read_circor(tmp_path, "circor_outcome")
    assert [each.name for each in found] == [f"{p}_{place}" for p in (100, 200, 300) for place in ("AV", "MV")]
    assert found[0].labels == {"circor_murmur": "Present", "circor_outcome": "Abnormal"}
    assert found[0].read().rate == 4000
    states = found[0].read_states()
    assert states is not None and states.states.tolist() == [0, 1, 2, 3, 4, 1]


def test_a_child_recorded_in_both_campaigns_is_one_subject(tmp_path):
    write_circor(tmp_path, PATIENTS)
    subjects = {each.name.partition("_")[0]: each.subject for each in read_circor(tmp_path, None)}
    assert subjects["100"] == subjects["300"] != subjects["200"]
    patients = {each.name.partition("_")[0]: each.patient for each in read_circor(tmp_path, None)}
    assert len(set(patients.values())) == 3


def test_a_missing_outcome_stops_the_outcome_task_alone(tmp_path):
    write_circor(tmp_path, {"100": {"Murmur": "Absent"}})
    assert read_circor(tmp_path, "circor_murmur")[0].labels == {"circor_murmur": "Absent"}
    with pytest.raises(ValueError, match=r"patient 100 has Outcome None, expected one of Normal, Abnormal; old copies"):
        read_circor(tmp_path, "circor_outcome")


def test_the_table_stands_in_for_missing_text_files(tmp_path):
    write_circor(tmp_path, PATIENTS)
    for path in tmp_path.glob("*.txt"):
        path.unlink()
    (tmp_path / "training_data.csv").write_text(
        "Patient ID,Locations,Murmur,Outcome,Additional ID\n"
        "100,AV+MV,Present,Abnormal,nan\n200,AV,Absent,Normal,100.0\n"
    )
    found = read_circor(tmp_path, "circor_murmur")
    assert [each.name for each in found] == ["100_AV", "100_MV", "200_AV", "200_MV"]
    assert len({each.subject for each in found}) == 1


def test_a_missing_recording_and_a_foreign_folder_are_named(tmp_path):
    write_circor(tmp_path / "a", PATIENTS)
    (tmp_path / "a/200_MV.wav").unlink()
    with pytest.raises(ValueError, match=r"200_MV\.wav of patient 200 is missing"):
        read_circor(tmp_path / "a", None)
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="holds no CirCor patients"):
        read_circor(tmp_path / "b", None)


def test_states_are_sorted_and_repeated_ones_counted_once(tmp_path):
    lines = STATES.splitlines()
    (tmp_path / "a.tsv").write_text("\n".join([*lines[3:], *lines, "1.4\t1.4\t2"]))
    states = read_states(tmp_path / "a.tsv")
    assert states is not None and states.starts.tolist() == [0, 0.5, 0.6, 0.8, 0.9, 1.3]


@pytest.mark.parametrize("row", ["0.1\t0.2\t28", "0.1\t0.2", "a b c", "nan\t1\t2", "-1\t1\t2", "0.55\t0.7\t3"])
def test_broken_states_are_left_aside_with_a_warning(tmp_path, caplog, row):
    (tmp_path / "a.tsv").write_text(f"{STATES}{row}\n")
    assert read_states(tmp_path / "a.tsv") is None
    assert "a.tsv" in caplog.text and "cut by its envelope" in caplog.text


def test_an_overlap_of_milliseconds_is_mended(tmp_path, caplog):
    (tmp_path / "a.tsv").write_text("0\t0.112\t1\n0.1\t0.4\t2\n0.4\t0.5\t3\n")
    states = read_states(tmp_path / "a.tsv")
    assert states is not None and states.ends.tolist() == [0.1, 0.4, 0.5] and not caplog.text
    (tmp_path / "a.tsv").write_text("0\t0.13\t1\n0.1\t0.4\t2\n")
    assert read_states(tmp_path / "a.tsv") is None and "overlap by 0.03 s" in caplog.text


def test_a_recording_without_states_has_none(tmp_path):
    write_circor(tmp_path, PATIENTS)
    assert read_circor(tmp_path, None)[0].read_states() is None


def test_physionet_skips_validation_copies_and_reads_quality(tmp_path, caplog):
    write_physionet(tmp_path, {"a0001": "1", "a0002": "-1", "e00001": "-1"})
    (tmp_path / "training-a/REFERENCE-SQI.csv").write_text("a0001,1,0\na0002,-1,1\n")
    shutil.copytree(tmp_path / "training-a", tmp_path / "validation")
    found = read_physionet2016(tmp_path, "physionet2016")
    assert [each.name for each in found] == ["a0001", "a0002", "e00001"]
    assert [each.labels["physionet2016"] for each in found] == ["abnormal", "normal", "normal"]
    assert [each.is_good for each in found] == [False, True, True]
    assert "each record counts as a subject of its own" in caplog.text


def test_physionet_subjects_are_joined_from_the_appendix_by_name(tmp_path):
    names = ("a0001", "a0002", "b0001", "b0002", "c0001", "d0001", "e00001", "e00002", "e00003", "e00004")
    write_physionet(tmp_path, dict.fromkeys(names, "1"))
    rows = [
        "a0001,C16S0b,", "a0002,C16S2_x,", "b0001,S34f2.e4k_data,", "b0002,S34f1_data,", "c0001,id07_p,", "d0001,x,",
        "e00001,e123,7", "e00002,e124,7", "e00003,125,7", "e00004,126,",
    ]  # fmt: skip
    (tmp_path / "annotations").mkdir()
    table = "\n".join(["Challenge record name,Original record name,# Raw record", *rows])
    (tmp_path / "annotations/Online Appendix_training set.csv").write_text(table)
    subjects = [each.subject.removeprefix("physionet2016:") for each in read_physionet2016(tmp_path, None)]
    assert subjects == ["a:16", "a:16", "b:34", "b:34", "c:07", "d:d0001", "e:e7", "e:e7", "e:n7", "e:e00004"]


def test_a_record_without_label_or_with_a_wrong_one_is_named(tmp_path):
    write_physionet(tmp_path, {"a0001": "1"})
    write_wav(tmp_path / "training-a/a0002.wav", rate=2000)
    with pytest.raises(ValueError, match=r"a0002\.wav: has no label"):
        read_physionet2016(tmp_path, None)
    (tmp_path / "training-a/REFERENCE.csv").write_text("a0001,1\na0002,2\n")
    with pytest.raises(ValueError, match=r"REFERENCE\.csv: line 2 is 'a0002,2'"):
        read_physionet2016(tmp_path, None)


def test_a_header_comment_is_the_label_where_the_table_has_none(tmp_path):
    write_physionet(tmp_path, {"a0001": "1"})
    write_wav(tmp_path / "training-a/a0002.wav", rate=2000)
    (tmp_path / "training-a/a0002.hea").write_text("a0002 1 2000 6000\na0002.wav 16+44 1 16 0 0 0 0 PCG\n# Normal\n")
    assert read_physionet2016(tmp_path, None)[1].labels == {"physionet2016": "normal"}


def test_the_heart_sound_is_chosen_by_name_and_not_by_place(tmp_path):
    two = np.stack([np.full(400, 8192), np.full(400, 16384)], axis=1).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 2000, two)
    line = "a.wav 16+44 1000 16 0 0 0 0"
    (tmp_path / "a.hea").write_text(f"a 2 2000 400\n{line} ECG\n{line} PCG\n")
    assert read_heart_sound(tmp_path / "a.hea").samples.tolist() == [0.5] * 400
    (tmp_path / "a.hea").write_text(f"a 2 2000 400\n{line} PCG\n{line} ECG\n")
    assert read_heart_sound(tmp_path / "a.hea").samples.tolist() == [0.25] * 400
    (tmp_path / "a.hea").write_text(f"a 2 2000 400\n{line} ECG\n{line} ECG\n")
    with pytest.raises(ValueError, match=r"a\.hea: its signals are ECG, ECG; expected exactly one called PCG"):
        read_heart_sound(tmp_path / "a.hea")


def test_missing_samples_of_a_wfdb_signal_are_joined(tmp_path):
    values = np.arange(400, dtype="<i2")
    values[[7, 200]] = -32768
    values.tofile(tmp_path / "a.dat")
    (tmp_path / "a.hea").write_text("a 1 2000 400\na.dat 16 1000 16 0 0 0 0 PCG\n")
    assert read_heart_sound(tmp_path / "a.hea").samples == pytest.approx(np.arange(400) / 32768)


@pytest.mark.parametrize("length", ["", " 400"])
def test_bytes_before_the_samples_of_a_wfdb_signal_are_no_samples(tmp_path, length):
    (tmp_path / "a.dat").write_bytes(b"\x7f" * 24 + np.arange(400, dtype="<i2").tobytes())
    (tmp_path / "a.hea").write_text(f"a 1 2000{length}\na.dat 16+24 1000 16 0 0 0 0 PCG\n")
    assert read_heart_sound(tmp_path / "a.hea").samples == pytest.approx(np.arange(400) / 32768)


BROKEN = "a 2 200\n0 50\na.dat 16 1000 16 0 0 0 0 PCG\na.dat 16 1000 16 0 0 0 0 ECG\n"
"""Its first line is broken in two."""


@pytest.mark.parametrize("text", ["", "a 2\n", "a 2 2000 4\na.wav 16 1 16 0 0 0 0 PCG\n", "a x 2000\n", BROKEN])
def test_a_broken_header_is_named(tmp_path, text):
    (tmp_path / "a.hea").write_text(text)
    np.arange(100, dtype="<i2").tofile(tmp_path / "a.dat")
    with pytest.raises(ValueError, match=r"a\.hea"):
        read_heart_sound(tmp_path / "a.hea")


@pytest.mark.parametrize(
    ("row", "file"),
    [
        ("set_b/Btraining_normal_103_1305031931979_B.wav", "normal__103_1305031931979_B.wav"),
        ("set_b/Btraining_normal_Btraining_noisynormal_101_1304_A.wav", "normal_noisynormal_101_1304_A.wav"),
        ("set_b/Btraining_murmur_Btraining_noisymurmur_162_1307_C1.wav", "murmur_noisymurmur_162_1307_C1.wav"),
        ("set_a/__201012172010.wav", "Aunlabelledtest__201012172010.wav"),
        ("set_a/artifact__201012172012.wav", "artifact__201012172012.wav"),
        ("set_b/Bunlabelledtest_101_1305030823364_F.wav", "Bunlabelledtest__101_1305030823364_F.wav"),
    ],
)
def test_names_in_the_table_and_on_disk_have_one_key(row, file):
    assert join_key(row) == join_key(file)


def write_pascal(root):
    files = {
        "b": ("normal__103_1305_B.wav", "murmur_noisymurmur_103_1306_C1.wav", "extrastole__7_1_A.wav"),
        "a": ("artifact__2011.wav", "Aunlabelledtest__2012.wav", "normal__2013.wav"),
    }
    for name, members in files.items():
        for number, member in enumerate(members):
            write_wav(root / f"set_{name}/{member}", rate=44100 if name == "a" else 4000, seed=number)
    write_wav(root / "Heartbeat_Sound/normal/normal__103_1305_B.wav")
    head = "dataset,fname,label,sublabel\n"
    (root / "set_b.csv").write_text(
        head + "b,set_b/Btraining_normal_103_1305_B.wav,normal,\nb,set_b/extrastole__7_1_A.wav,extrastole,\n"
        "b,set_b/Btraining_murmur_Btraining_noisymurmur_103_1306_C1.wav,murmur,noisymurmur\n"
    )
    (root / "set_a.csv").write_text(
        head + "a,set_a/artifact__2011.wav,artifact,\na,set_a/__2012.wav,,\na,set_a/normal__2013.wav,normal,\n"
    )


def test_pascal_reads_the_named_sets_once_with_their_subjects(tmp_path):
    write_pascal(tmp_path)
    found = read_pascal(tmp_path, "pascal", ("b",))
    assert {each.subject: each.labels["pascal"] for each in found if "103" not in each.subject} == {
        "pascal:b:7": "extrasystole"
    }
    assert [each.subject for each in found].count("pascal:b:103") == 2
    assert len(read_pascal(tmp_path, "pascal", ("a", "b"))) == 4
    everything = read_pascal(tmp_path, None, ("a", "b"))
    assert len(everything) == 6 and sum(not each.labels for each in everything) == 2


def test_pascal_missing_files_and_unknown_classes_are_named(tmp_path):
    write_pascal(tmp_path)
    (tmp_path / "set_b/extrastole__7_1_A.wav").unlink()
    with pytest.raises(ValueError, match=r"set_b\.csv: 1 rows have no file in .*extrastole_7_1_A"):
        read_pascal(tmp_path, None, ("b",))
    (tmp_path / "set_a.csv").write_text("dataset,fname,label,sublabel\na,set_a/artifact__2011.wav,noise,\n")
    with pytest.raises(ValueError, match=r"set_a\.csv: line 2 has the class 'noise'"):
        read_pascal(tmp_path, None, ("a",))
