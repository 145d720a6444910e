"""Tables and folders of heart sounds: what one of them lacks is counted, and each refusal names file and line."""

import logging
from pathlib import Path

import pytest

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.datasets.circor import read_circor
from data_pipelines.heart_sounds.datasets.pascal2011 import read_pascal
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.sources import hash_recordings, list_recordings
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_physionet, write_wav

LABELS = {f"c000{number}": "1" if number % 2 else "-1" for number in range(1, 5)}


def _pascal(root: Path, rows: dict[str, str]) -> None:
    lines = ["dataset,fname,label,sublabel"]
    for number, (name, label) in enumerate(rows.items()):
        write_wav(root / "set_b" / f"{name}.wav", seed=number)
        lines.append(f"b,set_b/{name}.wav,{label},")
    (root / "set_b.csv").write_text("\n".join(lines) + "\n")


def test_endings_in_capitals_count(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    for path in (tmp_path / "training-c").glob("*.wav"):
        path.rename(path.with_suffix(".WAV"))
    assert [each.name for each in read_physionet2016(tmp_path, None)] == list(LABELS)


def test_records_without_a_file_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_physionet(tmp_path, LABELS)
    (tmp_path / "training-c" / "c0002.wav").unlink()
    assert len(read_physionet2016(tmp_path, None)) == 3
    assert "1 of 4 records have no wav file there: c0002" in caplog.text
    assert logging.WARNING in {record.levelno for record in caplog.records}


def test_resource_files_of_macos_are_passed_over(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    (tmp_path / "training-c" / "._c0001.wav").write_bytes(b"\0\5\x16\7")
    assert len(read_physionet2016(tmp_path, None)) == 4


def test_links_are_followed_and_hidden_folders_passed_over(tmp_path: Path) -> None:
    write_physionet(tmp_path / "elsewhere", LABELS)
    write_physionet(tmp_path / "data/.Trash", {"c0009": "1"})
    (tmp_path / "data/a").mkdir()
    (tmp_path / "data/a/linked").symlink_to(tmp_path / "elsewhere")
    assert [each.name for each in read_physionet2016(tmp_path / "data", None)] == list(LABELS)


def test_a_second_label_that_contradicts_is_refused(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    with (tmp_path / "training-c" / "REFERENCE.csv").open("a") as file:
        file.write("c0001,1\nc0002,1\n")
    with pytest.raises(ValueError, match=r"REFERENCE\.csv: line 2 calls c0002 normal, and line 6 abnormal; keep one"):
        read_physionet2016(tmp_path, None)


def test_a_changed_quality_table_changes_the_hash(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    table = tmp_path / "training-c" / "REFERENCE-SQI.csv"
    table.write_text("".join(f"{name},{label},1\n" for name, label in LABELS.items()))
    before = hash_recordings(read_physionet2016(tmp_path, None))
    table.write_text(table.read_text().replace("c0001,1,1", "c0001,1,0"))
    assert hash_recordings(read_physionet2016(tmp_path, None)) != before


def test_unlabelled_rows_may_lack_their_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _pascal(tmp_path, {"normal__101_1_A": "normal", "murmur__102_2_A": "murmur", "Bunlabelledtest_103_3_A": ""})
    (tmp_path / "set_b" / "Bunlabelledtest_103_3_A.wav").unlink()
    assert len(read_pascal(tmp_path, "pascal", ("b",))) == 2
    assert "1 rows without a class of the task have no file" in caplog.text
    (tmp_path / "set_b" / "murmur__102_2_A.wav").unlink()
    with pytest.raises(ValueError, match=r"set_b\.csv: 1 rows have no file in .*: murmur_102_2_A"):
        read_pascal(tmp_path, "pascal", ("b",))


def test_text_in_another_encoding_names_file_and_line(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    with (tmp_path / "training-c" / "REFERENCE.csv").open("ab") as file:
        file.write("é,1\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"REFERENCE\.csv: line 5 is not UTF-8; save it as CSV"):
        read_physionet2016(tmp_path, None)


def _table(root: Path, *rows: str) -> None:
    """CirCor by its table alone: patients 100 and 200 with two recordings each."""
    write_circor(root, {name: {"Murmur": "Absent", "Outcome": "Normal"} for name in ("100", "200")})
    for path in root.glob("*.txt"):
        path.unlink()
    (root / "training_data.csv").write_text("\n".join(["Patient ID,Murmur,Outcome,Additional ID", *rows]) + "\n")


def test_circor_by_its_table_counts_endings_in_capitals(tmp_path: Path) -> None:
    _table(tmp_path, "100,Absent,Normal,", "200,Present,Abnormal,")
    (tmp_path / "100_AV.wav").rename(tmp_path / "100_AV.WAV")
    names = [each.name for each in read_circor(tmp_path, "circor_murmur")]
    assert names == ["100_AV", "100_MV", "200_AV", "200_MV"]


def test_patients_and_recordings_without_partner_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _table(tmp_path, "100,Absent,Normal,", "300,Present,Abnormal,")
    assert {each.patient for each in read_circor(tmp_path, None)} == {"circor:100"}
    assert "1 patients have no recordings there: 300" in caplog.text
    assert "2 wav files are of no listed patient and left out: 200_AV.wav, 200_MV.wav" in caplog.text


def test_a_patient_of_two_rows_is_refused(tmp_path: Path) -> None:
    _table(tmp_path, "100,Absent,Normal,", "200,Absent,Normal,", "100.0,Present,Abnormal,")
    with pytest.raises(ValueError, match=r"training_data\.csv: patient 100 stands there twice; keep one of them"):
        read_circor(tmp_path, None)


def test_a_recording_of_two_patients_is_refused(tmp_path: Path) -> None:
    write_circor(tmp_path, {name: {"Murmur": "Absent"} for name in ("100", "200")})
    text = (tmp_path / "200.txt").read_text()
    (tmp_path / "200.txt").write_text(text.replace("200_AV", "100_AV"))
    with pytest.raises(ValueError, match=r"200\.txt: 100_AV\.wav is of patient 100 and of 200; keep one"):
        read_circor(tmp_path, None)


def test_copies_of_a_folder_are_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_circor(tmp_path / "data", {"100": {"Murmur": "Absent"}})
    write_circor(tmp_path / "data" / "copy", {"100": {"Murmur": "Present"}})
    write_circor(tmp_path / "__MACOSX", {"999": {"Murmur": "Present"}})
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    found = read_circor(tmp_path, "circor_murmur")
    assert [each.labels["circor_murmur"] for each in found] == ["Absent", "Absent"]
    assert "files have the name of another one, which lies less deep or comes first" in caplog.text


def test_a_folder_of_sounds_takes_each_file_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_wav(tmp_path / "raw" / "a.wav", seed=0)
    write_wav(tmp_path / "raw" / "__MACOSX" / "b.wav", seed=1)
    (tmp_path / "raw" / "c.wav").symlink_to(tmp_path / "raw" / "a.wav")
    (tmp_path / "raw" / "d.m4a").write_bytes(b"x")
    found = list_recordings(HeartData(folder=tmp_path / "raw"), None)
    assert [each.name for each in found] == ["a"]
    assert "1 files are left out (ending .m4a: 1)" in caplog.text


def test_contradicting_quality_and_originals_are_refused(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    sqi = tmp_path / "training-c" / "REFERENCE-SQI.csv"
    sqi.write_text("c0001,1,1\nc0001,1,0\n")
    with pytest.raises(ValueError, match=r"REFERENCE-SQI\.csv: line 2 gives c0001 a second quality, 0; keep one"):
        read_physionet2016(tmp_path, None)
    sqi.unlink()
    lines = ["Challenge record name,Original record name", "c0001,id1_x", "c0001,id2_x"]
    (tmp_path / "Appendix_training.csv").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"Appendix_training\.csv: line 3 gives c0001 a second original, id2_x"):
        read_physionet2016(tmp_path, None)


def test_a_database_without_sound_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_physionet(tmp_path, LABELS)
    (tmp_path / "training-d").mkdir()
    (tmp_path / "training-d" / "REFERENCE.csv").write_text("d0001,1\n")
    assert {each.database for each in read_physionet2016(tmp_path, None)} == {"c"}
    assert "training-d: has no wav file; database d is left out" in caplog.text


def test_tables_in_capitals_are_found(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    (tmp_path / "training-c" / "REFERENCE.csv").rename(tmp_path / "training-c" / "REFERENCE.CSV")
    assert [each.labels["physionet2016"] for each in read_physionet2016(tmp_path, None)][:2] == ["abnormal", "normal"]


def test_all_damaged_recordings_are_named_or_left_out(tmp_path: Path) -> None:
    write_physionet(tmp_path / "raw", {f"c{number:04d}": "1" if number % 2 else "-1" for number in range(1, 21)})
    (tmp_path / "raw" / "training-c" / "c0003.wav").write_bytes(b"RIFF")
    (tmp_path / "raw" / "training-c" / "c0005.wav").unlink()
    (tmp_path / "raw" / "training-c" / "c0005.wav").symlink_to("nowhere.wav")
    data = HeartData(physionet2016=tmp_path / "raw")
    with pytest.raises(ValueError, match=r"(?s)2 files cannot be used.*c000[35]\.wav.*c000[35]\.wav"):
        prepare(HeartPipeline(data, "physionet2016"), Folder(str(tmp_path / "p")))
    skipping = HeartPipeline(data.model_copy(update={"on_bad_file": "skip"}), "physionet2016")
    manifest = prepare(skipping, Folder(str(tmp_path / "p")))
    assert sum(len(found) for found in manifest.left_out.values()) == 2
    assert manifest.files is not None and manifest.files.left_out["damaged"] == 2
    assert manifest.files.listed == manifest.files.used + sum(manifest.files.left_out.values())
