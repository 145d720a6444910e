"""Headers of PhysioNet records: the file and channel of the heart sound, and the comment with its label."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_pipelines.readers.bad_file import BadFileError, describe_content, printable, refuse_unopenable
from data_pipelines.readers.sound_file import RATES_HZ, Sound, fill_gaps, read_sound

MISSING = -32768
"""Value of a missing sample in format 16."""


@dataclass(frozen=True)
class Signal:
    """One signal line of a header."""

    file: str
    format: str
    offset: int
    """Bytes of the file before its samples."""
    channel: int
    """Index among the channels of its file, from 0."""
    num_channels: int
    """Channels of the same file."""
    description: str


@dataclass(frozen=True)
class Header:
    """Content of a `.hea` file."""

    rate: int
    num_samples: int
    """Samples of each signal; 0 when the header does not tell."""
    signals: tuple[Signal, ...]
    comments: tuple[str, ...]


def read_header(path: Path) -> Header:
    """Read a header. Raises BadFileError when its lines are not those of a header."""
    refuse_unopenable(path)
    text = path.read_text(encoding="utf-8", errors="surrogateescape")  # comments may be of any encoding
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    comments = tuple(line[1:].strip() for line in lines if line.startswith("#"))
    rows = [line.split() for line in lines if not line.startswith("#")]
    try:
        rate, count = int(float(rows[0][2].split("/")[0])), int(rows[0][1])
        num_samples = int(rows[0][3]) if len(rows[0]) > 3 else 0
        files = [(row[0], *_parse_format(row[1])) for row in rows[1:]]
        described = [" ".join(row[8:]) for row in rows[1:]]
    except (IndexError, ValueError, OverflowError) as error:
        raise BadFileError(path, f"is {describe_content(path)}, no record header; copy it again") from error
    if len(files) != count:
        raise BadFileError(path, f"names {count} signals and describes {len(files)}; copy it again")
    names = [name for name, _, _ in files]
    signals = tuple(
        Signal(name, kind, offset, names[:index].count(name), names.count(name), described[index])
        for index, (name, kind, offset) in enumerate(files)
    )
    return Header(rate, num_samples, signals, comments)


def _parse_format(field: str) -> tuple[str, int]:
    """Return the format of `FORMAT[xSAMPLES][:SKEW][+OFFSET]`, with what stands behind it, and the offset."""
    kind, _, offset = field.partition("+")
    return kind, int(offset or 0)


def read_heart_sound(path: Path) -> Sound:
    """Read the signal called PCG, or the only signal of a header with one. Raises BadFileError otherwise."""
    header = read_header(path)
    chosen = [signal for signal in header.signals if "pcg" in signal.description.lower()]
    chosen = chosen or (list(header.signals) if len(header.signals) == 1 else [])
    if len(chosen) != 1:
        names = ", ".join(signal.description or "(no name)" for signal in header.signals)
        raise BadFileError(path, f"its signals are {names}; expected exactly one called PCG")
    signal = chosen[0]
    file = path.parent / signal.file
    if "/" in signal.file or not file.is_file():
        raise BadFileError(path, f"its file {printable(signal.file)} is missing; copy it beside the header")
    if file.suffix.lower() == ".wav":
        sound = read_sound(file, channel=signal.channel if signal.num_channels > 1 else None)
    else:
        sound = _read_format_16(file, signal, header.rate, path)
    refuse_difference(path, header, signal.file, sound)
    return sound


def refuse_difference(path: Path, header: Header, file: str, sound: Sound) -> None:
    """Raise BadFileError when a file has another rate, or number of samples, than its header states."""
    if header.rate != sound.rate:
        fault = f"states {header.rate:,} samples per second of {printable(file)}, which has {sound.rate:,}"
        raise BadFileError(path, f"{fault}; copy both again")
    if header.num_samples and header.num_samples != len(sound.samples):
        fault = f"states {header.num_samples} samples of {printable(file)}, which holds {len(sound.samples)}"
        raise BadFileError(path, f"{fault}; copy both again")


def _read_format_16(file: Path, signal: Signal, rate: int, header: Path) -> Sound:
    data = np.fromfile(file, dtype="<i2", offset=signal.offset)
    if signal.format != "16" or data.size == 0 or data.size % signal.num_channels:
        raise BadFileError(
            file,
            f"holds {data.size} samples of format {signal.format}; expected format 16 and a multiple of "
            f"{signal.num_channels} samples; copy it again",
        )
    if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        fault = f"states {rate:,} samples per second for {printable(file.name)}"
        raise BadFileError(header, f"{fault}, expected {RATES_HZ[0]:,} to {RATES_HZ[1]:,}; copy it again")
    samples = data.reshape(-1, signal.num_channels)[:, signal.channel].astype(np.float64)
    samples[samples == MISSING] = np.nan
    return Sound(fill_gaps(samples / -MISSING, file), rate)
