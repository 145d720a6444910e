"""Records of a W&B transaction log, the `run-<id>.wandb` that wandb-core writes while a run is logged.

The format is LevelDB's log (https://github.com/google/leveldb/blob/main/doc/log_format.md) with two differences, found
by reading files of wandb 0.31: the first block begins with the 7 bytes `:W&B`, 0xBEE1 (little-endian) and a version,
and the checksum is the plain CRC-32 of the type byte and the content, where LevelDB has a masked CRC-32C.
"""

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b":W&B\xe1\xbe"
VERSION = 0
BLOCK_BYTES = 32768

_CHUNK_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_CRC_OF_TYPE = [zlib.crc32(bytes([kind])) for kind in range(5)]


def read_records(file: Path, wants: Callable[[bytes], bool] = lambda content: True) -> Iterator[Any]:
    """Yield the records (`wandb_internal_pb2.Record`) of a transaction log in the order in which they were written.

    Ends silently at the first torn or damaged record: a killed wandb-core leaves one, and nothing that follows it can
    be distinguished from garbage.

    Args:
        file: A `run-<id>.wandb`.
        wants: Whether to parse a record, given its serialised bytes; parsing is what takes the time.

    Raises:
        ValueError: The file is no transaction log, or one of another version.
    """
    from google.protobuf.message import DecodeError
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

    for content in filter(wants, _read_contents(file)):
        try:
            record = Record.FromString(content)
        except DecodeError:
            return
        yield record


def last_step(file: Path, key: str = "_step") -> int | None:
    """Return the value of `key` in the last history row that has it; None without such a row.

    Parses history records only: a million rows take seconds and no memory.

    Raises:
        ValueError: The file is no transaction log.
    """
    wanted, step = key.encode(), None
    for record in read_records(file, lambda content: _is_history(content) and wanted in content):
        for item in record.history.item:
            if key == item.key or [key] == item.nested_key:
                step = int(json.loads(item.value_json))
    return step


def _is_history(content: bytes) -> bool:
    """Return whether a serialised Record holds a history: its field 2, alone or behind field 1, the record's number."""
    start = 0
    if content[:1] == b"\x08":
        start = 1
        while content[start] & 0x80:
            start += 1
        start += 1
    return content[start : start + 1] == b"\x12"


def _read_contents(file: Path) -> Iterator[bytes]:
    """Yield the serialised bytes of each record."""
    with file.open("rb") as stream:
        header = stream.read(len(MAGIC) + 1)
        if header != MAGIC + bytes([VERSION]):
            raise ValueError(f"{file}: not a W&B transaction log of version {VERSION} (it begins with {header!r})")
        yield from _join(_chunks(stream, first_block=BLOCK_BYTES - len(header)))


def _join(chunks: Iterator[tuple[int, bytes]]) -> Iterator[bytes]:
    """Join chunks into records; ends at the first chunk that does not fit the one before it."""
    parts: list[bytes] = []
    for kind, content in chunks:
        if (kind in (_FULL, _FIRST)) == bool(parts):
            return
        parts.append(content)
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts.clear()


def _chunks(stream: BinaryIO, first_block: int) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each chunk; ends at the first that is torn or fails its checksum."""
    size = first_block
    while block := stream.read(size):
        position = 0
        while position + _CHUNK_HEADER.size <= size:
            checksum, length, kind = _CHUNK_HEADER.unpack_from(
                block.ljust(position + _CHUNK_HEADER.size, b"\0"), position
            )
            start = position + _CHUNK_HEADER.size
            content = block[start : start + length]
            if not _FULL <= kind <= _LAST or len(content) < length:
                return
            if zlib.crc32(content, _CRC_OF_TYPE[kind]) != checksum:
                return
            yield kind, content
            position = start + length
        size = BLOCK_BYTES
