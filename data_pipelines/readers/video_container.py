"""Check for cut-off video files by the sizes that their outermost elements state; decoders accept such files."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from data_pipelines.readers.bad_file import BadFileError

_BOXES = (
    b"ftyp", b"styp", b"pdin", b"moov", b"moof", b"mfra", b"mdat", b"free", b"skip", b"wide", b"meta", b"udta",
    b"uuid", b"sidx", b"ssix", b"prft", b"emsg", b"pnot",
)  # fmt: skip
RIFF, EBML, SEGMENT = b"RIFF", b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def check_is_whole(file: Path) -> None:
    """Raise BadFileError when an element of an ISO (mp4, mov), Matroska (mkv, webm) or AVI file ends beyond it."""
    num_bytes, end = file.stat().st_size, 0
    with file.open("rb") as stream:
        head = stream.read(8)
        measure = _measure_of(head)
        while measure and end < num_bytes:
            stream.seek(end)
            size = measure(stream)
            if not size:
                return  # no size is stated, as in a live recording, or it is no such element
            end += size
    if end > num_bytes:
        raise BadFileError(
            file, f"is cut off: it has {num_bytes:,} of at least {end:,} bytes; copy it again, or remove it"
        )


def _measure_of(head: bytes) -> Callable[[BinaryIO], int] | None:
    if head[:4] == EBML:
        return _measure_ebml
    if head[:4] == RIFF:
        return _measure_riff
    return _measure_box if head[4:] == b"ftyp" else None


def _measure_box(stream: BinaryIO) -> int:
    """Return a box's size (ISO/IEC 14496-12, section 4.2): 32 bits, or 64 after the type; 0: up to the file's end.

    Bytes behind the last box may look like one: a box of an unknown kind that ends beyond the file is taken for such.
    """
    start = stream.tell()
    size, name = int.from_bytes(stream.read(4), "big"), stream.read(4)
    if not name.isalnum():
        return 0
    size = int.from_bytes(stream.read(8), "big") if size == 1 else size
    is_none = name not in _BOXES and start + size > stream.seek(0, io.SEEK_END)
    return 0 if is_none else size


def _measure_riff(stream: BinaryIO) -> int:
    """Return a chunk's size; chunks after the first are the further parts of a large AVI file."""
    name, size = stream.read(4), int.from_bytes(stream.read(4), "little")
    return size + size % 2 + 8 if name == RIFF and size else 0


def _measure_ebml(stream: BinaryIO) -> int:
    """Return an element's size (RFC 8794, section 4); 0 when it is unknown.

    The number of leading zeros is that of further bytes; all ones are an unknown size.
    """
    start = stream.tell()
    if stream.read(4) not in (EBML, SEGMENT):
        return 0
    length = 9 - int.from_bytes(stream.read(1), "big").bit_length()
    stream.seek(-1, io.SEEK_CUR)
    size = int.from_bytes(stream.read(length), "big") & ((1 << 7 * length) - 1)
    return 0 if size == (1 << 7 * length) - 1 else stream.tell() - start + size
