"""History of a run's rows: one per optimiser step, kept compressed, stored in every checkpoint."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Sequence

Row = dict[str, float | int]


def to_lines(rows: Iterable[Row]) -> bytes:
    """Encode rows as JSON lines; floats are written so that they read back bit for bit."""
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()


def read_lines(content: bytes) -> list[bytes]:
    """Return the lines of a stored history with their ends.

    It is read as one file: `gzip.decompress` copies the rest for each member, so that its time grows with the square of
    their number.

    Raises:
        OSError, EOFError, zlib.error: The history is damaged.
    """
    return _unpack(content).splitlines(True)


def read_until(content: bytes, step: int) -> bytes:
    """Return the lines of a stored history up to a step, as one text; raises as `read_lines` does.

    The end is found by halving the text, as a list of all lines takes longer to make than to unpack them.
    """
    text = _unpack(content)
    low, high = 0, len(text)
    while low < high:
        start = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = text.find(b"\n", start) + 1
        if json.loads(text[start:end])["step"] <= step:
            low = end
        else:
            high = start
    return text[:low]


def last_step(text: bytes) -> int:
    """Return the step of the last of these lines; 0 when there is none."""
    return json.loads(text[text.rfind(b"\n", 0, len(text) - 1) + 1 :])["step"] if text else 0


def _unpack(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        return file.read()


class History:
    """Rows in order; each `append` becomes one gzip member, so old rows are never compressed twice."""

    def __init__(self, content: bytes = b""):
        self._members = [content] if content else []

    def append(self, rows: Sequence[Row]) -> None:
        if rows:
            self._members.append(gzip.compress(to_lines(rows), compresslevel=1, mtime=0))

    @property
    def content(self) -> bytes:
        """A gzip file of JSON lines (`zcat` reads it)."""
        return b"".join(self._members)

    def rows(self) -> Iterator[Row]:
        return map(json.loads, read_lines(self.content))
