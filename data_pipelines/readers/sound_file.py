"""Strict reader of sound files by libsndfile: any sample format to floats, one channel; faults name the file."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from data_pipelines.readers.bad_file import BadFileError, describe_content, printable, refuse_unopenable

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".mp3")
MAX_MISSING_RATIO = 0.01
"""Largest share of a recording's samples that may be no usable number."""
LARGEST = 2.0**32
"""Largest usable sample: floats are meant to lie in -1..1, and some programs write integers of up to 32 bits as
floats."""
RATES_HZ = (100, 768_000)
"""Lowest and highest sample rate that a recording can have; anything else is a damaged header."""
MAX_SAMPLES = 2**26
"""Most samples of a file, all channels together: 4.6 hours at 4 kHz."""
_BLOCK = 2**18
"""Frames that are read at a time, so that a header's false count reserves no memory."""
_REST_BYTES = 4096
_KINDS = "wav, FLAC, Ogg, AIFF or MP3"
_FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "AIFF", "MP3")
"""The same by libsndfile's names; a file of its other formats, cut off, is read without a word."""
_OGG_HEAD = 27
"""Bytes of a page of Ogg before the lengths of its segments; the last counts these."""
_NO_LENGTH = 0x7FFFF000
"""Stated sizes from here on are placeholders: ffmpeg writes 0xFFFFFFFF and sox 0x7FFFF024 into a pipe."""
_CHUNKS: Mapping[bytes, tuple[Literal["little", "big"], bytes]] = {
    b"RIFF": ("little", b"data"),
    b"RF64": ("little", b"data"),
    b"RIFX": ("big", b"data"),
    b"FORM": ("big", b"SSND"),
}
"""Byte order, and the name of the chunk with the sound, by a file's first bytes."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sound:
    """One channel of sound."""

    samples: np.ndarray
    """float64, [count]; full scale is 1 for integer formats."""
    rate: int
    """Sample rate in Hz."""


def read_sound(path: Path, *, channel: int | None = None) -> Sound:
    """Read the mean of all channels, or one channel.

    Raises BadFileError when the file is damaged, cut off, empty, or not of sound.
    """
    refuse_unopenable(path)
    _check_length(path)
    _check_ogg_end(path)
    samples, rate = _read(path)
    if not len(samples):
        raise BadFileError(path, "holds no sound; remove it, or copy it again")
    if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        fault = f"states {rate:,} samples per second, expected {RATES_HZ[0]:,} to {RATES_HZ[1]:,}"
        raise BadFileError(path, f"{fault}; copy it again, or mend its header (`ffmpeg -i a.wav -ar RATE b.wav`)")
    num_channels = samples.shape[1]
    if channel is not None and channel >= num_channels:
        raise BadFileError(
            path, f"has {num_channels} channels, but channel {channel} (from 0) was asked for; name another one"
        )
    mixed = samples[:, channel or 0] if channel is not None or num_channels == 1 else samples.mean(axis=1)
    return Sound(fill_gaps(mixed, path), rate)


def fill_gaps(samples: np.ndarray, path: Path) -> np.ndarray:
    """Interpolate samples that are no numbers, or beyond 2^32, linearly, with a warning.

    Raises BadFileError when they are more than one in a hundred.
    """
    with np.errstate(invalid="ignore"):
        is_good = np.abs(samples) <= LARGEST
    if is_good.all():
        return samples
    num_bad = int((~is_good).sum())
    if num_bad > MAX_MISSING_RATIO * len(samples):
        fault = f"{num_bad} of {len(samples)} samples are not a number, or beyond {LARGEST:g}"
        raise BadFileError(path, f"{fault}; remove it or copy it again")
    _log.warning("%s: %d of %d samples are not a number; they are interpolated", printable(path), num_bad, len(samples))
    places = np.arange(len(samples))
    return np.interp(places, places[is_good], samples[is_good])


def _read(path: Path) -> tuple[np.ndarray, int]:
    """Return float64 samples, [frames, channels], and the rate."""
    try:
        with path.open("rb") as raw, soundfile.SoundFile(raw.fileno(), closefd=False) as file:
            if file.format not in _FORMATS:
                fault = f"is of the format {file.format}, expected {_KINDS}; convert it (`ffmpeg -i a.x b.wav`)"
                raise BadFileError(path, fault)
            blocks: list[np.ndarray] = [np.empty((0, file.channels))]
            num_frames = 0
            while len(block := file.read(_BLOCK, dtype="float64", always_2d=True)):
                blocks.append(block)
                num_frames += len(block)
                if num_frames * file.channels > MAX_SAMPLES:
                    fault = f"is longer than {MAX_SAMPLES // file.channels / max(file.samplerate, 1) / 3600:.1f} hours"
                    raise BadFileError(path, f"{fault}, the longest recording that is read; cut it into parts")
            if num_frames < file.frames:
                fault = f"is cut off: it states {file.frames} samples and holds {num_frames}"
                raise BadFileError(path, f"{fault}; copy it again")
            return np.concatenate(blocks), file.samplerate
    except soundfile.LibsndfileError as error:
        what = describe_content(path)
        if "sound" not in what and not what.startswith("a big-endian RIFF"):
            raise BadFileError(path, f"is {what}; expected a sound file ({_KINDS})") from error
        fault = f"cannot be read as sound ({what}, damaged or of a rare coding)"
        raise BadFileError(path, f"{fault}; copy it again, or convert it to PCM (`ffmpeg -i a.wav b.wav`)") from error


def _check_length(path: Path) -> None:
    """Raise BadFileError for a file of chunks whose sound ends before the stated length.

    libsndfile reads such a file without a word. A placeholder for an unknown length is logged.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(36)
        if head[:4] not in _CHUNKS:
            return
        order, wanted = _CHUNKS[head[:4]]
        place = 12
        file.seek(place)
        while len(chunk := file.read(8)) == 8:
            place += 8
            length = int.from_bytes(chunk[4:], order)
            if chunk[:4] == wanted:
                break
            place += length + length % 2
            file.seek(place)
        else:
            return
        is_wide = head[:4] == b"RF64"  # its lengths of 64 bits stand in the first chunk
        length = int.from_bytes(head[28:36], "little", signed=True) if is_wide else length
        file.seek(max(min(place + length + length % 2, size), 0))
        rest = file.read(_REST_BYTES)
    if length <= 0 and size > place:
        fault = f"states that it holds no sound, but goes on for {size - place} bytes"
        raise BadFileError(path, f"{fault}; write it anew (`ffmpeg -i a.wav b.wav`)")
    if not is_wide and max(length, int.from_bytes(head[4:8], order)) >= _NO_LENGTH:
        _log.warning("%s: states no length, as a recording through a pipe; it is read to its end", printable(path))
        return
    if place + length > size:
        fault = f"is cut off: its sound should have {length} bytes, and {size - place} are there"
        raise BadFileError(path, f"{fault}; copy it again")
    is_chunk = all(32 <= byte < 127 for byte in rest[:4])
    if size - place - length > length // 100 and any(rest) and not is_chunk:
        words = (
            "%s: states %d bytes of sound and goes on for %d, which are not read; its length may be of an earlier state"
        )
        _log.warning(words, printable(path), length, size - place - length)


def _check_ogg_end(path: Path) -> None:
    """Raise BadFileError for an Ogg file whose last page is not whole, or does not end the stream.

    libsndfile reads such a file without a word. Zeros or a tag behind the last page are passed over.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        end, is_last = 0, False
        while (head := file.read(_OGG_HEAD))[:4] == b"OggS":
            lacing = file.read(head[26]) if len(head) == _OGG_HEAD else b""
            end += _OGG_HEAD + len(lacing) + sum(lacing)
            if len(head) < _OGG_HEAD or len(lacing) < head[26] or end > size:
                raise BadFileError(path, "is cut off: its last page of Ogg is not whole; copy it again")
            is_last = bool(head[5] & 4)
            file.seek(end)
    if end and not is_last:
        raise BadFileError(path, "is cut off: it lacks Ogg's mark of the end; copy it again")
