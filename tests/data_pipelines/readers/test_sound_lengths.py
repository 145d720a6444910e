"""Wav files that state no length, and files that are no wav file at all."""

import struct
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.sound_file import read_sound

SAMPLES = np.arange(-50, 50, dtype="<i2")


def _write(path: Path, *, riff: int, data: int, form: int = 1) -> Path:
    layout = struct.pack("<IHHIIHH", 16, form, 1, 2000, 4000, 2, 16)
    head = b"RIFF" + struct.pack("<I", riff) + b"WAVEfmt " + layout + b"data" + struct.pack("<I", data)
    path.write_bytes(head + SAMPLES.tobytes())
    return path


@pytest.mark.parametrize(("riff", "data"), [(0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000)])
def test_a_recording_through_a_pipe_is_read_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, riff: int, data: int
) -> None:
    sound = read_sound(_write(tmp_path / "pipe.wav", riff=riff, data=data))
    np.testing.assert_array_equal(sound.samples, SAMPLES / 32768)
    assert "pipe.wav: states no length" in caplog.text


def test_a_file_that_is_cut_off_is_refused_as_before(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cut\.wav: is cut off"):
        read_sound(_write(tmp_path / "cut.wav", riff=1036, data=1000))


def test_another_codec_gets_advice_that_helps(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"odd\.wav: .*convert it to PCM \(`ffmpeg"):
        read_sound(_write(tmp_path / "odd.wav", riff=36 + SAMPLES.nbytes, data=SAMPLES.nbytes, form=0x77))


def test_a_length_of_zero_before_sound_gets_advice(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"zero\.wav: states that it holds no sound, but goes on for .*`ffmpeg"):
        read_sound(_write(tmp_path / "zero.wav", riff=0, data=0))


@pytest.mark.parametrize("stated", [0, -1])
def test_a_wide_file_without_a_length_gets_advice(tmp_path: Path, stated: int) -> None:
    content = _write(tmp_path / "a.wav", riff=0, data=0xFFFFFFFF).read_bytes()
    wide = b"ds64" + struct.pack("<IQqQI", 28, 0, stated, 0, 0)
    (tmp_path / "a.wav").write_bytes(b"RF64\xff\xff\xff\xffWAVE" + wide + content[12:])
    with pytest.raises(BadFileError, match=r"a\.wav: states that it holds no sound, but goes on for 200 bytes; write"):
        read_sound(tmp_path / "a.wav")


def test_sound_behind_its_stated_length_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(read_sound(_write(tmp_path / "a.wav", riff=136, data=100)).samples) == 50
    assert "a.wav: states 100 bytes of sound and goes on for 100, which are not read" in caplog.text


def test_a_web_page_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"<html>not found</html>")
    with pytest.raises(BadFileError, match=r"a\.wav: is a web page"):
        read_sound(tmp_path / "a.wav")
