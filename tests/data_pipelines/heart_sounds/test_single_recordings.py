"""A file by itself is read as by the reader of its data set."""

import pytest

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.datasets.circor import read_circor
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.heart_sounds.rows import store_recording
from data_pipelines.heart_sounds.single_recordings import file_recording, find_companions
from data_pipelines.readers.bad_file import BadFileError
from tests.data_pipelines.heart_sounds.heart_files import write_circor, write_physionet

DATA = HeartData(sample_rate=1000, num_samples=128)
STATES = "0.3 0.4 1\n0.4 0.6 2\n0.6 0.7 3\n0.7 1.1 4\n1.1 1.2 1\n1.2 1.5 2\n1.5 1.6 3\n1.6 1.9 4\n1.9 2 1\n"


@pytest.mark.parametrize("states", [STATES, None])
def test_a_file_of_circor_has_the_row_of_its_data_set(states, tmp_path):
    write_circor(tmp_path, {"100": {"Murmur": "Absent", "Outcome": "Normal"}}, locations=("AV",), states=states)
    names = {file.name for file in tmp_path.iterdir()}
    alone = file_recording(tmp_path / "100_AV.wav", find_companions("100_AV.wav", names, None))
    row = store_recording(alone, 0, DATA)
    assert row == store_recording(read_circor(tmp_path, "circor_murmur")[0], 0, DATA)
    assert (row["starts"] == [300, 1100]) == (states is not None)


def test_a_record_of_physionet_has_the_row_of_its_data_set(tmp_path):
    write_physionet(tmp_path, {"a0001": "1"})
    file = tmp_path / "training-a/a0001.wav"
    header = file.with_suffix(".hea")
    header.write_text("a0001 1 2000 6000\na0001.wav 16+44 1 16 0 0 0 0 PCG\n# Abnormal\n")
    companions = find_companions(file.name, {header.name, file.name}, None)
    alone = store_recording(file_recording(file, companions), 0, DATA)
    assert companions == ("a0001.hea",)
    assert alone == store_recording(read_physionet2016(tmp_path, "physionet2016")[0], 0, DATA)
    header.write_text("a0001 1 4000 6000\na0001.wav 16+44 1 16 0 0 0 0 PCG\n")
    with pytest.raises(BadFileError, match=r"states 4,000 samples per second of a0001.wav, which has 2,000"):
        file_recording(file, companions).read()
