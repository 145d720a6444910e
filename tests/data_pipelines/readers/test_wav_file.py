"""Every sample format against the numbers that were written, and every damage by the file's name."""

import numpy as np
import pytest
from scipy.io import wavfile

from data_pipelines.readers.wav_file import read_wav


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (np.array([-32768, 0, 16384], np.int16), [-1.0, 0.0, 0.5]),
        (np.array([-(2**31), 0, 2**30], np.int32), [-1.0, 0.0, 0.5]),
        (np.array([0, 128, 192], np.uint8), [-1.0, 0.0, 0.5]),
        (np.array([-1.0, 0.0, 0.5], np.float32), [-1.0, 0.0, 0.5]),
    ],
)
def test_each_format_is_brought_to_full_scale_one(tmp_path, data, expected):
    wavfile.write(tmp_path / "a.wav", 4000, data)
    sound = read_wav(tmp_path / "a.wav")
    assert sound.rate == 4000 and sound.samples.tolist() == expected


def test_stereo_is_mixed_or_one_channel_taken(tmp_path):
    wavfile.write(tmp_path / "a.wav", 4000, np.array([[0.5, -0.5], [1.0, 0.0]], np.float32))
    assert read_wav(tmp_path / "a.wav").samples.tolist() == [0.0, 0.5]
    assert read_wav(tmp_path / "a.wav", channel=1).samples.tolist() == [-0.5, 0.0]
    with pytest.raises(ValueError, match=r"a\.wav: has 2 channels, but channel 2"):
        read_wav(tmp_path / "a.wav", channel=2)


def test_single_nan_samples_are_interpolated_and_many_refused(tmp_path):
    values = np.linspace(0, 1, 201, dtype=np.float32)
    values[[50, 51]] = np.nan
    wavfile.write(tmp_path / "a.wav", 4000, values)
    assert read_wav(tmp_path / "a.wav").samples == pytest.approx(np.linspace(0, 1, 201))
    values[:20] = np.inf
    wavfile.write(tmp_path / "b.wav", 4000, values)
    with pytest.raises(ValueError, match=r"b\.wav: 22 of 201 samples are not a number"):
        read_wav(tmp_path / "b.wav")


@pytest.mark.parametrize("num_bytes", [0, 3, 20, 40])
def test_a_damaged_file_is_named(tmp_path, num_bytes):
    wavfile.write(tmp_path / "whole.wav", 4000, np.zeros(100, np.int16))
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:num_bytes])
    with pytest.raises(ValueError, match=r"cut\.wav"):
        read_wav(tmp_path / "cut.wav")


def test_a_file_that_ends_too_early_or_holds_nothing_is_named(tmp_path):
    wavfile.write(tmp_path / "whole.wav", 4000, np.zeros(100, np.int16))
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"cut\.wav"):
        read_wav(tmp_path / "cut.wav")
    wavfile.write(tmp_path / "empty.wav", 4000, np.zeros(0, np.int16))
    with pytest.raises(ValueError, match=r"empty\.wav: holds no sound"):
        read_wav(tmp_path / "empty.wav")
