"""A raw file that cannot be read, and names of files as text."""

import os
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path

NAMED = 20
"""Damaged files that one message names."""


class BadFileError(ValueError):
    """One raw file cannot be used; the message names it, what it is, and what to do."""

    def __init__(self, file: Path, fault: str) -> None:
        super().__init__(f"{printable(file)}: {fault}")
        self.file = file
        self.fault = fault

    def __reduce__(self) -> tuple[type["BadFileError"], tuple[Path, str]]:
        return BadFileError, (self.file, self.fault)


def refuse_all(faults: Sequence[BadFileError], advice: str) -> None:
    """Raise ValueError naming the first twenty faulty files and counting the others; nothing for none."""
    if not faults:
        return
    if len(faults) == 1:
        raise faults[0]
    lines = [f"  {fault}" for fault in faults[:NAMED]]
    if len(faults) > NAMED:
        lines.append(f"  and {len(faults) - NAMED} more")
    raise ValueError("\n".join([f"{len(faults)} files cannot be used; {advice}:", *lines]))


def printable(path: Path | str) -> str:
    r"""Return a file's name as text that can be printed and stored: bytes that are no UTF-8 become `\xe9`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def few(names: Iterable[object], *, most: int = 3) -> str:
    """Return the first names, and the count of the others: `a, b, c and 4 more`."""
    texts = [printable(str(name)) for name in names]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def refuse_unopenable(file: Path) -> None:
    """Raise BadFileError for a link to nowhere, for what is no file, and for an empty file."""
    try:
        with file.open("rb") if file.is_file() else nullcontext(None) as stream:
            size = os.fstat(stream.fileno()).st_size if stream else None
    except OSError as error:
        raise BadFileError(file, f"cannot be opened ({error.strerror}); allow it to be read, or remove it") from error
    if size is None and file.is_symlink() and not file.exists():
        raise BadFileError(
            file, f"is a link to {os.readlink(file)}, which does not exist; restore that, or remove the link"
        )
    if size is None:
        raise BadFileError(file, "is no file; remove it" if file.exists() else "is missing; put it back")
    if not size:
        raise BadFileError(file, "is empty; copy it again, or remove it")


def content_of(file: Path) -> bytes:
    """Return a file's bytes for a digest; of what cannot be read the fault, which reading it names later."""
    try:
        return file.read_bytes() if file.is_file() else b"no file"  # a pipe or a device would never end
    except OSError as error:
        return f"unreadable: {error.strerror}".encode()


_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"II+\0", "a BigTIFF image"),
    (b"MM\0+", "a BigTIFF image"),
    (b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"fLaC", "a FLAC sound"),
    (b"OggS", "an Ogg sound"),
    (b"ID3", "an MP3 sound"),
    *((bytes((0xFF, second)), "an MP3 sound") for second in (0xFA, 0xFB, 0xF2, 0xF3, 0xE2, 0xE3)),
    (b"RIFX", "a big-endian RIFF file"),
    (b"\x93NUMPY", "a .npy array"),
    (b"\x80", "a pickle"),
    (b"PAR1", "a Parquet file"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself (run `git lfs pull`)"),
    (b"\x00\x05\x16\x07", "a resource file of macOS"),
)
_RIFF_KINDS = {b"WEBP": "a WebP image", b"WAVE": "a wav sound", b"AVI ": "an AVI video"}


def describe_content(file: Path) -> str:
    """Say what a file is by its first bytes, for example `a WebP image` or `a web page`."""
    with file.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return "empty"
    if head[:4] == b"RIFF" and head[8:12] in _RIFF_KINDS:
        return _RIFF_KINDS[head[8:12]]
    if head[4:8] == b"ftyp":
        brand = head[8:12].decode("ascii", "replace").strip()
        return f"a {'HEIC or AVIF image' if brand[:3] in ('hei', 'mif', 'avi') else 'MP4 file'} ({brand})"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page, as a failed download leaves one"
    for mark, kind in _KINDS:
        if head.startswith(mark):
            return kind
    if not any(head):
        return "nothing but zeros at its beginning"
    start = head[:16].decode("ascii", "backslashreplace") if all(9 <= byte < 127 for byte in head[:16]) else None
    return (
        f"of an unknown kind (it begins with {start!r})" if start else f"of an unknown kind ({head[:8].hex(' ')} ...)"
    )
