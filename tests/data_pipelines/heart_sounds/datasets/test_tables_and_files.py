"""Tables and folders of heart sounds: what one of them lacks is counted, and each refusal names file and line."""

import logging
from pathlib import Path

import pytest

from data_pipelines.heart_sounds.datasets.pascal2011 import read_pascal
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.heart_sounds.sources import hash_recordings
from tests.data_pipelines.heart_sounds.heart_files import write_physionet, write_wav

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


def test_a_second_label_that_contradicts_is_refused(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    with (tmp_path / "training-c" / "REFERENCE.csv").open("a") as file:
        file.write("c0001,1\nc0002,1\n")
    with pytest.raises(ValueError, match=r"REFERENCE\.csv: line 6 gives c0002 a second label, abnormal"):
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
    assert "1 unlabelled rows have no file" in caplog.text
    (tmp_path / "set_b" / "murmur__102_2_A.wav").unlink()
    with pytest.raises(ValueError, match=r"set_b\.csv: 1 rows have no file in .*: murmur_102_2_A"):
        read_pascal(tmp_path, "pascal", ("b",))


def test_text_in_another_encoding_names_file_and_line(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    with (tmp_path / "training-c" / "REFERENCE.csv").open("ab") as file:
        file.write("é,1\n".encode("latin1"))
    with pytest.raises(ValueError, match=r"REFERENCE\.csv: line 5 is not UTF-8; save it as CSV"):
        read_physionet2016(tmp_path, None)
