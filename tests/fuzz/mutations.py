"""Damage to files as disks, transfers and editors do it: flipped bits, cuts, other header fields, moved blocks."""

from collections.abc import Callable

from hypothesis import strategies as st

HEADER = 256
"""Bytes at the beginning that are changed more often than others: most fields lie there."""
FIELDS = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\n",
    b",",
)
"""Values that fields of a header are set to."""

Change = Callable[[bytearray], None]


@st.composite
def changes(draw: st.DrawFn) -> list[tuple[str, int, int, bytes]]:
    """Draw one to four changes: kind, place, length, content; places are taken modulo the length of the file."""
    place = st.one_of(st.integers(0, HEADER), st.integers(0, 2**20))
    kind = st.sampled_from(["flip", "field", "cut", "remove", "double", "insert", "zero"])
    content = st.one_of(st.sampled_from(FIELDS), st.binary(min_size=1, max_size=8))
    return draw(st.lists(st.tuples(kind, place, st.integers(1, 64), content), min_size=1, max_size=4))


def apply_changes(original: bytes, drawn: list[tuple[str, int, int, bytes]]) -> bytes:
    """Return the damaged content."""
    content = bytearray(original)
    for kind, place, length, value in drawn:
        start = place % (len(content) or 1)
        if kind == "flip" and content:
            content[start] ^= 1 << (length % 8)
        elif kind == "field":
            content[start : start + len(value)] = value
        elif kind == "cut":
            del content[start:]
        elif kind == "remove":
            del content[start : start + length]
        elif kind == "double":
            content[start:start] = content[start : start + length]
        elif kind == "insert":
            content[start:start] = value
        elif kind == "zero":
            content[start : start + length] = bytes(min(length, len(content) - start))
    return bytes(content)
