"""Every sample format against the numbers that were written, and every damage by the file's name."""

import numpy as np
import pytest
import soundfile
from scipy.io import wavfile

from data_pipelines.readers.sound_file import read_sound


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
    sound = read_sound(tmp_path / "a.wav")
    assert sound.rate == 4000 and sound.samples.tolist() == expected


def test_stereo_is_mixed_or_one_channel_taken(tmp_path):
    wavfile.write(tmp_path / "a.wav", 4000, np.array([[0.5, -0.5], [1.0, 0.0]], np.float32))
    assert read_sound(tmp_path / "a.wav").samples.tolist() == [0.0, 0.5]
    assert read_sound(tmp_path / "a.wav", channel=1).samples.tolist() == [-0.5, 0.0]
    with pytest.raises(ValueError, match=r"a\.wav: has 2 channels, but channel 2"):
        read_sound(tmp_path / "a.wav", channel=2)


def test_single_nan_samples_are_interpolated_and_many_refused(tmp_path):
    values = np.linspace(0, 1, 201, dtype=np.float32)
    values[[50, 51]] = np.nan, 1e30
    wavfile.write(tmp_path / "a.wav", 4000, values)
    assert read_sound(tmp_path / "a.wav").samples == pytest.approx(np.linspace(0, 1, 201))
    values[:20] = np.inf
    wavfile.write(tmp_path / "b.wav", 4000, values)
    with pytest.raises(ValueError, match=r"b\.wav: 22 of 201 samples are not a number"):
        read_sound(tmp_path / "b.wav")


@pytest.mark.parametrize("num_bytes", [0, 3, 20, 40])
def test_a_damaged_file_is_named(tmp_path, num_bytes):
    wavfile.write(tmp_path / "whole.wav", 4000, np.zeros(100, np.int16))
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:num_bytes])
    with pytest.raises(ValueError, match=r"cut\.wav"):
        read_sound(tmp_path / "cut.wav")


def test_a_file_that_ends_too_early_or_holds_nothing_is_named(tmp_path):
    wavfile.write(tmp_path / "whole.wav", 4000, np.zeros(100, np.int16))
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"cut\.wav"):
        read_sound(tmp_path / "cut.wav")
    wavfile.write(tmp_path / "empty.wav", 4000, np.zeros(0, np.int16))
    with pytest.raises(ValueError, match=r"empty\.wav: holds no sound"):
        read_sound(tmp_path / "empty.wav")


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("a.wav", {"subtype": "PCM_24"}, 2**-23),
        ("a.wav", {"subtype": "ALAW"}, 0.03),
        ("a.wav", {"subtype": "ULAW"}, 0.03),
        ("a.wav", {"subtype": "MS_ADPCM"}, 0.05),
        ("a.wav", {"format": "WAVEX", "subtype": "PCM_16"}, 2**-15),
        ("a.wav", {"format": "RF64"}, 2**-15),
        ("a.flac", {}, 2**-15),
        ("a.aiff", {}, 2**-15),
        ("a.ogg", {}, 0.1),
    ],
)
def test_what_libsndfile_reads_is_read_and_a_half_is_not(tmp_path, name, options, tolerance):
    wave = 0.5 * np.sin(np.arange(4000) / 20)
    soundfile.write(tmp_path / name, wave, 4000, **options)
    sound = read_sound(tmp_path / name)
    assert sound.rate == 4000 and np.abs(sound.samples[:4000] - wave).max() <= tolerance
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=rf"{name}: (is cut off|cannot be read as sound)"):
        read_sound(tmp_path / name)


@pytest.mark.parametrize("rate", [1, 768_001, 400_000_000])
def test_an_impossible_rate_is_refused(tmp_path, rate):
    wavfile.write(tmp_path / "a.wav", rate, np.ones(100, np.int16))
    with pytest.raises(ValueError, match=rf"a\.wav: states {rate:,} samples per second, expected 100 to 768,000"):
        read_sound(tmp_path / "a.wav")


@pytest.mark.parametrize("kind", ["AU", "W64", "CAF"])
def test_a_format_whose_cut_end_goes_unseen_is_refused(tmp_path, kind):
    soundfile.write(tmp_path / "a.wav", np.zeros(4000), 4000, format=kind, subtype="PCM_16")
    with pytest.raises(ValueError, match=rf"a\.wav: is of the format {kind}, expected wav, .*; convert it"):
        read_sound(tmp_path / "a.wav")
