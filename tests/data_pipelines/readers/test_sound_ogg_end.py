"""Ogg files that are cut off, which libsndfile reads as if they were shorter."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.readers.sound_file import read_sound

CODINGS = ("VORBIS", "OPUS")


def _write(path: Path, coding: str) -> bytes:
    wave = 0.5 * np.random.default_rng(0).standard_normal(32_000).clip(-1, 1)
    soundfile.write(path, wave, 8000, format="OGG", subtype=coding)
    return path.read_bytes()


@pytest.mark.parametrize("coding", CODINGS)
def test_a_page_that_lacks_a_byte_is_cut_off(tmp_path: Path, coding: str) -> None:
    file = tmp_path / "a.ogg"
    content = _write(file, coding)
    last = content.rfind(b"OggS")
    for size in (len(content) - 1, last + 100, last + 27, last + 26, last + 4):
        file.write_bytes(content[:size])
        with pytest.raises(BadFileError, match=r"a\.ogg: is cut off: its last page of Ogg is not whole; copy it again"):
            read_sound(file)


@pytest.mark.parametrize("coding", CODINGS)
def test_a_stream_without_its_last_page_is_cut_off(tmp_path: Path, coding: str) -> None:
    file = tmp_path / "a.ogg"
    content = _write(file, coding)
    last = content.rfind(b"OggS")
    for size in (last, last + 3):
        file.write_bytes(content[:size])
        with pytest.raises(BadFileError, match=r"a\.ogg: is cut off: it lacks Ogg's mark of the end; copy it again"):
            read_sound(file)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("tail", [b"", b"\0" * 70_000, b"TAG" + b"\0" * 125, b"APETAGEX" + b"\0" * 24])
def test_what_follows_the_end_is_passed_over(tmp_path: Path, coding: str, tail: bytes) -> None:
    content = _write(tmp_path / "a.ogg", coding)
    whole = read_sound(tmp_path / "a.ogg").samples
    (tmp_path / "a.ogg").write_bytes(content + tail)
    np.testing.assert_array_equal(read_sound(tmp_path / "a.ogg").samples, whole)
    assert len(whole) == 32_000
