"""Tables and headers of PhysioNet 2016: names in any writing are matched, and what is not matched is told."""

from pathlib import Path

import pytest

from data_pipelines.heart_sounds.datasets.pascal2011 import read_pascal
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.readers.bad_file import BadFileError
from tests.data_pipelines.heart_sounds.heart_files import write_physionet, write_wav

LABELS = {"a0001": "1", "a0002": "-1", "a0003": "1"}
HEADING = "Challenge record name,Database,Original record name"
WRITINGS = ("{}", " {} ", "{}.wav", "{}.WAV")


def _quality(root: Path, *rows: str) -> None:
    (root / "training-a/REFERENCE-SQI.csv").write_text("\n".join(rows) + "\n")


def _appendix(root: Path, *rows: str, heading: str = HEADING) -> None:
    (root / "Online Appendix_training set.csv").write_text("\n".join([heading, *rows]) + "\n")


def _header(root: Path, name: str, *, rate: int = 2000, num: str = " 6000", comment: str = "") -> None:
    lines = f"{name} 1 {rate}{num}\n{name}.wav 16+44 1 16 0 0 0 0 PCG\n{comment}\n"
    (root / f"training-a/{name}.hea").write_text(lines)


@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("record", ["a0001", "A0001"])
def test_every_table_matches_a_record_in_any_writing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record: str, writing: str
) -> None:
    write_physionet(tmp_path, {"a0001": "1"})
    name = writing.format(record)
    (tmp_path / "training-a/REFERENCE.csv").write_text(f"{name},1\n")
    _quality(tmp_path, f"{name},1,0")
    _appendix(tmp_path, f"{name},x,C16S0b")
    (found,) = read_physionet2016(tmp_path, "physionet2016")
    assert found.labels == {"physionet2016": "abnormal"}
    assert not found.is_good and found.subject == "physionet2016:a:16"
    assert not caplog.records


def test_two_files_of_one_record_are_refused(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    write_wav(tmp_path / "training-a/A0001.WAV", rate=2000, seed=9)
    with pytest.raises(ValueError, match=r"A0001\.WAV and a0001\.wav are the same record; keep one of them"):
        read_physionet2016(tmp_path, None)


def test_a_quality_table_and_records_that_differ_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_physionet(tmp_path, LABELS)
    _quality(tmp_path, "a0001,1,0", "x0002,-1,0", "x0003,1,0")
    assert [each.is_good for each in read_physionet2016(tmp_path, None)] == [False, True, True]
    assert "REFERENCE-SQI.csv: 2 of 3 rows are of no record that is there: x0002, x0003" in caplog.text
    words = "REFERENCE-SQI.csv: 2 of 3 records have no row there and count as good: a0002, a0003"
    assert words in caplog.text


def test_a_quality_table_of_other_labels_is_refused(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    _quality(tmp_path, "a0001,1,1", "A0002,1,1")
    places = (
        r"REFERENCE\.csv: line 2 calls A0002 normal, but .*REFERENCE-SQI\.csv: line 2 abnormal; correct one of them"
    )
    with pytest.raises(ValueError, match=places):
        read_physionet2016(tmp_path, None)


def test_an_appendix_without_its_column_is_refused(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    _appendix(tmp_path, "a0001,x,C16S0b", heading="Challenge record name,Database,Original name")
    words = r"has no column `Original record name`; it has Challenge record name, Database, Original name$"
    with pytest.raises(ValueError, match=words):
        read_physionet2016(tmp_path, None)
    _appendix(tmp_path, "a0001,x,C16S0b", heading="Record,Database,Original record name")
    with pytest.raises(ValueError, match="has no column `Challenge record name`; it has Record, Database, Original"):
        read_physionet2016(tmp_path, None)


def test_a_heading_of_several_lines_in_a_cell_is_found(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    rows = ("a0001,C1S0", "a0002,C1S1", "a0003,C2S0")
    _appendix(tmp_path, *rows, heading='Supplement\n"Challenge\nrecord name","Original\nrecord name"')
    found = [each.subject for each in read_physionet2016(tmp_path, None)]
    assert found == ["physionet2016:a:1", "physionet2016:a:1", "physionet2016:a:2"]


def test_an_appendix_and_records_that_differ_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_physionet(tmp_path, LABELS)
    _appendix(tmp_path, "a0001,x,C16S0b", "a0009,x,C17S0b", "x1,x,C18S0", "b0001,x,S1f1")
    read_physionet2016(tmp_path, None)
    assert "set.csv: 2 of 3 rows are of no record that is there: a0009, x1" in caplog.text
    words = "set.csv: 2 of 3 records have no row there; each counts as a subject of its own: a0002, a0003"
    assert words in caplog.text


def test_database_e_without_raw_records_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_physionet(tmp_path, {"e00001": "1"})
    _appendix(tmp_path, "e00001,x,e123")
    assert read_physionet2016(tmp_path, None)[0].subject == "physionet2016:e:e123"
    assert "has no column `Raw record`; each original record of database e counts as a subject" in caplog.text


def test_a_header_of_another_label_is_refused(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    _header(tmp_path, "a0002", comment="# Normal")
    assert len(read_physionet2016(tmp_path, None)) == 3
    _header(tmp_path, "a0002", comment="# Abnormal")
    places = r"REFERENCE\.csv: line 2 calls a0002 normal, but .*a0002\.hea abnormal; correct one of them"
    with pytest.raises(ValueError, match=places):
        read_physionet2016(tmp_path, None)


@pytest.mark.parametrize(
    ("rate", "num", "words"),
    [
        (4000, " 6000", "states 4,000 samples per second of a0001.wav, which has 2,000; copy both again"),
        (2000, " 999999", "states 999999 samples of a0001.wav, which holds 6000; copy both again"),
    ],
)
def test_a_header_of_another_sound_is_refused_at_reading(tmp_path: Path, rate: int, num: str, words: str) -> None:
    write_physionet(tmp_path, LABELS)
    _header(tmp_path, "a0001", rate=rate, num=num)
    first, *others = read_physionet2016(tmp_path, None)
    with pytest.raises(BadFileError, match=rf"a0001\.hea: {words}"):
        first.read()
    assert all(len(each.read().samples) == 6000 for each in others)


@pytest.mark.parametrize("num", ["", " 0", " 6000"])
def test_a_header_that_fits_or_states_no_length_is_read(tmp_path: Path, num: str) -> None:
    write_physionet(tmp_path, LABELS)
    _header(tmp_path, "a0001", num=num)
    assert len(read_physionet2016(tmp_path, None)[0].read().samples) == 6000


def test_a_broken_header_of_a_labelled_record_is_refused_late(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    (tmp_path / "training-a/a0001.hea").write_text("a0001 x\n")
    first = read_physionet2016(tmp_path, None)[0]
    with pytest.raises(BadFileError, match=r"a0001\.hea: is .*, no record header; copy it again"):
        first.read()


def test_names_that_are_no_utf8_are_printed(tmp_path: Path) -> None:
    write_physionet(tmp_path, LABELS)
    write_wav(tmp_path / "training-a/a\udce9.wav", rate=2000)
    with pytest.raises(ValueError, match=r"training-a/a\\xe9\.wav: has no label; expected a\\xe9 with 1 or -1 in"):
        read_physionet2016(tmp_path, None)
    write_wav(tmp_path / "p\udce9/set_b/normal__1_2_A.wav")
    write_wav(tmp_path / "p\udce9/set_b/normal_1_2_A.wav")
    (tmp_path / "p\udce9/set_b.csv").write_text("fname,label\n")
    with pytest.raises(ValueError, match=r"p\\xe9/set_b/.* belong to the same row of .*p\\xe9/set_b\.csv; keep one"):
        read_pascal(tmp_path / "p\udce9", None, ("b",))
