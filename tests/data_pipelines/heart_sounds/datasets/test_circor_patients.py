"""Patients of CirCor that are told twice: what is equal counts once, what contradicts is refused with both values."""

from pathlib import Path

import pytest

from data_pipelines.heart_sounds.datasets.circor import read_circor
from tests.data_pipelines.heart_sounds.heart_files import write_circor

PATIENTS = {"100": {"Murmur": "Absent", "Outcome": "Normal"}, "200": {"Murmur": "Present", "Outcome": "Abnormal"}}
ALL = ["100_AV", "100_MV", "200_AV", "200_MV"]
HEAD = "Patient ID,Age,Murmur,Outcome,Additional ID"


def _names(root: Path) -> list[str]:
    return [each.name for each in read_circor(root, "circor_murmur")]


def _table(root: Path, *rows: str) -> None:
    (root / "training_data.csv").write_text("\n".join([HEAD, *rows]) + "\n")


def _without_text(root: Path) -> None:
    write_circor(root, PATIENTS)
    for path in root.glob("*.txt"):
        path.unlink()


def test_a_recording_that_is_listed_twice_is_read_once(tmp_path: Path) -> None:
    write_circor(tmp_path, PATIENTS)
    lines = (tmp_path / "100.txt").read_text().splitlines()
    (tmp_path / "100.txt").write_text("\n".join(["100 3 4000", lines[1], lines[1].lower(), *lines[2:]]))
    assert _names(tmp_path) == ALL


def test_a_recording_of_two_lines_that_differ_is_refused(tmp_path: Path) -> None:
    write_circor(tmp_path, PATIENTS)
    text = (tmp_path / "100.txt").read_text()
    (tmp_path / "100.txt").write_text(text.replace("100_MV.wav", "100_AV.WAV"))
    with pytest.raises(ValueError, match=r"100\.txt: lines 2 and 3 tell 100_AV\.WAV differently; keep one of them"):
        read_circor(tmp_path, None)


def test_a_field_given_twice_counts_once_or_is_refused(tmp_path: Path) -> None:
    write_circor(tmp_path, PATIENTS)
    with (tmp_path / "100.txt").open("a") as file:
        file.write("#Murmur: Absent\n#Note: a\n#Note: b\n")
    assert _names(tmp_path) == ALL
    with (tmp_path / "100.txt").open("a") as file:
        file.write("#Murmur: Present\n")
    with pytest.raises(ValueError, match=r"100\.txt: Murmur is 'Absent' and 'Present'; keep one of them"):
        read_circor(tmp_path, None)


@pytest.mark.parametrize(
    ("row", "field", "told", "tabled"),
    [
        ("100.0,Child,Present,Normal,", "Murmur", "Absent", "Present"),
        ("100,Child,nan,Abnormal,", "Outcome", "Normal", "Abnormal"),
    ],
)
def test_a_table_that_contradicts_the_text_is_refused(
    tmp_path: Path, row: str, field: str, told: str, tabled: str
) -> None:
    write_circor(tmp_path, PATIENTS)
    _table(tmp_path, row)
    words = rf"{field} of patient 100 is '{told}' in .*100\.txt and '{tabled}' in .*training_data\.csv; correct one"
    with pytest.raises(ValueError, match=words):
        read_circor(tmp_path, None)


def test_a_table_that_agrees_or_lacks_values_changes_nothing(tmp_path: Path) -> None:
    write_circor(tmp_path, PATIENTS)
    _table(tmp_path, "100,Child,Absent,nan,", "200,,,Abnormal,", "300,,Present,Normal,")
    assert _names(tmp_path) == ALL


def test_a_row_that_is_repeated_is_read_once(tmp_path: Path) -> None:
    _without_text(tmp_path)
    _table(tmp_path, "100,Child,Absent,Normal,", "200,,Present,Normal,", "100.0, Child,Absent,Normal,")
    assert _names(tmp_path) == ALL


def test_rows_of_a_patient_that_differ_are_refused(tmp_path: Path) -> None:
    _without_text(tmp_path)
    _table(tmp_path, "100,Child,Absent,Normal,", "200,,Present,Normal,", "100,Child,Absent,Abnormal,")
    words = r"training_data\.csv: patient 100 stands there twice; keep one of them \(lines 2 and 4\)"
    with pytest.raises(ValueError, match=words):
        read_circor(tmp_path, None)


def test_names_that_are_no_utf8_are_printed(tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    write_circor(folder, {"100": {"Murmur": "Absent"}})
    (folder / "100_AV.wav").unlink()
    with pytest.raises(ValueError, match=r"caf\\xe9/100\.txt: 100_AV\.wav of patient 100 is missing"):
        read_circor(tmp_path, None)


def test_what_is_heard_follows_from_the_murmur_locations(tmp_path: Path) -> None:
    ill = PATIENTS["200"]
    patients = {"200": ill | {"Murmur locations": "MV+TV"}, "300": ill | {"Murmur locations": "nan"}}
    write_circor(tmp_path, {**patients, "100": PATIENTS["100"]})
    found = {each.name: dict(each.heard) for each in read_circor(tmp_path, "circor_murmur")}
    assert found.pop("200_AV") == {"circor_murmur": "Absent"} and len(found) == 5
    assert not any(found.values())


def test_a_place_of_the_table_without_a_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _without_text(tmp_path)
    head = "Patient ID,Recording locations:,Murmur,Outcome"
    rows = ["100,AV+MV,Absent,Normal", "200,AV+PV+TV+MV,Present,Abnormal"]
    (tmp_path / "training_data.csv").write_text("\n".join([head, *rows]) + "\n")
    assert _names(tmp_path) == ALL
    assert "training_data.csv: 2 recordings of its rows have no wav file: 200_PV, 200_TV" in caplog.text
