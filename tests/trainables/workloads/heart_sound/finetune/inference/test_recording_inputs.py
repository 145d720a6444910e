"""Recordings with their patients, and the files beside them."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from data_pipelines.storage.folder import Folder
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_wav
from trainables.workloads.heart_sound.finetune.inference.recording_inputs import describe_recordings, find_recordings


def make(root: Path, *names: str, content: bytes = b"sound") -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def patients_of(root: Path, table: Path | None = None) -> dict[str, str]:
    return {item.name: item.group for item in find_recordings(Folder(str(root)), table)}


def test_names_of_circor_tell_the_patient(tmp_path):
    make(tmp_path, "13918_AV.wav", "13918_phc_2.WAV", "14998_TV.wav", "14998_XX.wav", "a/1_AV_b.wav", "a/heart.flac")
    assert patients_of(tmp_path) == {
        "13918_AV.wav": "13918",
        "13918_phc_2.WAV": "13918",
        "14998_TV.wav": "14998",
        "14998_XX.wav": "14998_XX",
        "a/1_AV_b.wav": "a/1_AV_b",
        "a/heart.flac": "a/heart",
    }


def test_two_files_of_one_stem_are_two_patients(tmp_path):
    make(tmp_path, "heart.flac", "heart.wav", "other.wav")
    assert patients_of(tmp_path) == {"heart.flac": "heart.flac", "heart.wav": "heart.wav", "other.wav": "other"}


def test_a_patient_file_tells_the_patient_and_the_states(tmp_path):
    make(tmp_path, "77_X.wav", "77_Y.wav", "x.tsv", "77_Y.tsv")
    (tmp_path / "77.txt").write_text("77 1 4000\nAV 77_X.hea 77_X.wav x.tsv\n#Murmur: Present\n")
    items = {item.name: item for item in find_recordings(Folder(str(tmp_path)), None)}
    assert items["77_X.wav"].group == "77" and items["77_X.wav"].companions == ("x.tsv",)
    assert items["77_Y.wav"].group == "77_Y" and items["77_Y.wav"].companions == ("77_Y.tsv",)


def test_notes_called_like_a_patient_file_are_passed_over(tmp_path, caplog):
    make(tmp_path, "77_AV.wav")
    (tmp_path / "77.txt").write_text("loud systolic murmur\n")
    assert patients_of(tmp_path) == {"77_AV.wav": "77"}
    assert "77.txt: is no patient file of CirCor and passed over" in caplog.text


def test_a_damaged_patient_file_is_refused(tmp_path):
    make(tmp_path, "77_AV.wav")
    (tmp_path / "77.txt").write_text("77 2 4000\nAV 77_AV.hea 77_AV.wav 77_AV.tsv\n")
    with pytest.raises(ValueError, match=r"77\.txt: the first line must be"):
        patients_of(tmp_path)


def test_records_of_physionet_have_their_header(tmp_path):
    make(tmp_path, "a0001.wav", "a0001.hea", "a0001.dat", "e00002.wav", "a0001.tsv", "note.wav", "note.hea")
    found = {item.name: item.companions for item in find_recordings(Folder(str(tmp_path)), None)}
    assert found == {"a0001.wav": ("a0001.hea", "a0001.dat"), "e00002.wav": (), "note.wav": ()}


def test_what_is_used_beside_is_not_told_as_left_out(tmp_path, caplog):
    write_circor(tmp_path, {"100": {"Murmur": "Absent"}}, states="0.1 0.2 1\n")
    make(tmp_path, "LICENSE.md")
    with caplog.at_level(logging.WARNING):
        assert len(patients_of(tmp_path)) == 2
    assert "1 files are left out (ending .md: 1)" in caplog.text


def test_one_file_is_found_with_what_lies_beside_it(tmp_path):
    make(tmp_path, "5_AV.wav", "5_AV.tsv", "6_AV.wav")
    alone = find_recordings(Folder(str(tmp_path / "5_AV.wav")), None)
    assert [(item.name, item.group, item.companions) for item in alone] == [("5_AV.wav", "5", ("5_AV.tsv",))]
    described = describe_recordings([tmp_path / "5_AV.wav"])[0]
    assert replace(described, root=None) == replace(alone[0], root=None)


def test_a_changed_companion_changes_the_input(tmp_path):
    make(tmp_path, "5_AV.wav", "5_AV.tsv")
    before = find_recordings(Folder(str(tmp_path)), None)[0]
    os.utime(tmp_path / "5_AV.tsv", ns=(1, before.modified_ns + 10**9))
    after = find_recordings(Folder(str(tmp_path)), None)[0]
    assert before.size == after.size == 10 and before.modified_ns != after.modified_ns


def test_companions_come_from_other_storage_too(tmp_path):
    make(tmp_path, "deep/5_AV.tsv", content=b"states")
    write_wav(tmp_path / "deep/5_AV.wav")
    (tmp_path / "deep/5.txt").write_text("5 1 4000\nAV 5_AV.hea 5_AV.wav 5_AV.tsv\n")
    remote = Folder(str(tmp_path))
    remote.is_local = False
    item = find_recordings(remote, None)[0]
    assert (item.name, item.group, item.companions) == ("deep/5_AV.wav", "5", ("5_AV.tsv",))
    with item.open() as file:
        assert file.parent != tmp_path / "deep"
        assert file.read_bytes() == (tmp_path / "deep/5_AV.wav").read_bytes()
        assert file.with_name("5_AV.tsv").read_bytes() == b"states"
    assert not file.exists()


def test_a_patients_number_in_two_folders_is_refused(tmp_path):
    make(tmp_path, "a/5_AV.wav", "b/5_MV.wav")
    with pytest.raises(ValueError, match=r"patient 5 lie in several folders \(a, b\).*--patients"):
        patients_of(tmp_path)


@pytest.fixture
def named(tmp_path):
    make(tmp_path / "wavs", "a/5_AV.wav", "b/5_AV.wav", "c.wav")

    def read(text: str) -> dict[str, str]:
        (tmp_path / "table.csv").write_text(text)
        return patients_of(tmp_path / "wavs", tmp_path / "table.csv")

    return read


def test_a_table_names_the_patients(named, caplog):
    found = named("subject,file,age\nAnna,a/5_AV.wav,3\n Bea ,b\\5_AV.wav,4\nAnna,c.wav,3\nCora,away.wav,1\n")
    assert found == {"a/5_AV.wav": "Anna", "b/5_AV.wav": "Bea", "c.wav": "Anna"}
    assert "1 rows are of no file that is there: away.wav" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,person\nc.wav,Anna\n", "has no column subject"),
        ("file,subject\nc.wav,Anna\n", r"has no row for 2 of 3 recordings \(a/5_AV.wav, b/5_AV.wav\)"),
        ("file,subject\n5_AV.wav,Anna\n", "line 2 means a/5_AV.wav, b/5_AV.wav; write the path below"),
        ("file,subject\nc.wav,Anna\nc.wav,Bea\n", "line 3 gives c.wav the subject 'Bea', a line before 'Anna'"),
        ("file,subject\nc.wav, \n", "line 2 has the subject ''; expected a name"),
        ("file,subject\nc.wav,../x\n", r"line 2 has the subject '\.\./x'; expected a name"),
    ],
)
def test_a_table_that_is_not_clear_is_refused(text, words, named):
    with pytest.raises(ValueError, match=words):
        named(text)


def test_a_changed_table_makes_all_inputs_new(tmp_path):
    make(tmp_path / "wavs", "c.wav")
    (tmp_path / "table.csv").write_text("file,subject\nc.wav,Anna\n")
    before = find_recordings(Folder(str(tmp_path / "wavs")), tmp_path / "table.csv")
    os.utime(tmp_path / "table.csv", ns=(1, 2))
    assert find_recordings(Folder(str(tmp_path / "wavs")), tmp_path / "table.csv") != before
