"""Strict reader of wav files: any sample format to floats, one channel; an error names a damaged file."""

import logging
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import wavfile

from data_pipelines.readers.bad_file import BadFileError, describe_content, printable, refuse_unopenable

_NO_LENGTH = 0x7FFFF000
"""Stated sizes from here on are placeholders: ffmpeg writes 0xFFFFFFFF and sox 0x7FFFF024 into a pipe."""
_log = logging.getLogger(__name__)
MAX_MISSING_RATIO = 0.01
"""Largest share of a recording's samples that may be NaN."""


@dataclass(frozen=True)
class Sound:
    """One channel of sound."""

    samples: np.ndarray
    """float64, [count]; full scale is 1 for integer formats."""
    rate: int
    """Sample rate in Hz."""


def read_wav(path: Path, *, channel: int | None = None) -> Sound:
    """Read the mean of all channels, or one channel. Raises ValueError naming the file when it is damaged or empty."""
    rate, data = _read(path)
    if data.size == 0 or rate <= 0:
        raise ValueError(
            f"{path}: holds no sound, or states no length; remove it, or write it anew (`ffmpeg -i a.wav b.wav`)"
        )
    samples = _to_float(data, path)
    if samples.ndim == 2 and channel is not None and channel >= samples.shape[1]:
        raise ValueError(f"{path}: has {samples.shape[1]} channels, but channel {channel} (from 0) was asked for")
    if samples.ndim == 2:
        samples = samples.mean(axis=1) if channel is None else samples[:, channel]
    return Sound(fill_gaps(samples, path), int(rate))


def fill_gaps(samples: np.ndarray, path: Path) -> np.ndarray:
    """Interpolate samples that are not finite linearly; ValueError when they are more than one in a hundred."""
    is_good = np.isfinite(samples)
    if is_good.all():
        return samples
    num_bad = int((~is_good).sum())
    if num_bad > MAX_MISSING_RATIO * len(samples):
        raise ValueError(f"{path}: {num_bad} of {len(samples)} samples are not a number; remove it or copy it again")
    places = np.arange(len(samples))
    return np.interp(places, places[is_good], samples[is_good])


def _read(path: Path) -> tuple[int, np.ndarray]:
    refuse_unopenable(path)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rate, data = wavfile.read(path)
    except (ValueError, EOFError, struct.error, ZeroDivisionError) as error:
        what = describe_content(path)
        if what != "a wav sound":
            raise BadFileError(path, f"is {what}; expected a wav file") from error
        advice = (
            "convert it to PCM (`ffmpeg -i a.wav b.wav`)"
            if "Unknown wave file format" in str(error)
            else "copy it again"
        )
        raise BadFileError(path, f"cannot be read as a wav file ({error}); {advice}") from error
    except UnboundLocalError as error:  # scipy's error for a file without a data or a format chunk
        fault = "cannot be read as a wav file (a chunk is missing, or no length is stated)"
        raise BadFileError(path, f"{fault}; write it anew (`ffmpeg -i a.wav b.wav`)") from error
    cut = [str(warning.message) for warning in caught if "prematurely" in str(warning.message)]
    if cut and _states_no_length(path):
        _log.warning("%s: states no length, as a recording through a pipe; it is read to its end", printable(path))
    elif cut:
        raise ValueError(f"{path}: is cut off ({cut[0]}); copy it again")
    return rate, data


def _states_no_length(path: Path) -> bool:
    """Return whether the RIFF header holds what programs write that do not know the length beforehand."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(8)[4:], "little") >= _NO_LENGTH


def _to_float(data: np.ndarray, path: Path) -> np.ndarray:
    if data.dtype == np.uint8:
        return (data.astype(np.float64) - 128) / 128
    if data.dtype in (np.int16, np.int32):
        return data.astype(np.float64) / -float(np.iinfo(data.dtype).min)
    if np.issubdtype(data.dtype, np.floating):
        return data.astype(np.float64)
    raise ValueError(f"{path}: has samples of type {data.dtype}; expected 8, 16, 24 or 32 bits, or floats")
