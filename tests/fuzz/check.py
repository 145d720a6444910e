"""Check of one damaged file: it is read, or refused by name, in bounded time and memory, in plain words."""

import re
import resource
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.samples import Sample

MAX_S = 10.0
MAX_BYTES = 2**30
FOREIGN = re.compile(
    r"0x[0-9a-f]{6,}|allow_pickle|weights_only|tuple index|list index|object has no attribute|NoneType"
    r"|Traceback|values to unpack|unpack requires|\bstruct\.|\berrno|<class", re.IGNORECASE,
)  # fmt: skip
"""Words of Python and of libraries that say nothing to a user."""


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let this process take at most `MAX_BYTES` more address space inside the block."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def check(sample: Sample, path: Path, content: bytes, expected: object) -> str:
    """Read a damaged file; returns `read` or the words of its refusal.

    Raises AssertionError for another number of rows, words that do not name the file or are of a library, and too much
    time or memory.
    """
    path.write_bytes(content)
    start = time.monotonic()
    try:
        with limited_memory(), warnings.catch_warnings():
            warnings.simplefilter("error")
            found = sample.read(path)
    except ValueError as error:
        words = str(error)
        assert type(error).__module__.split(".")[0] in ("builtins", "data_pipelines", "ray_jobs", "trainables"), words
        named = path.name in words or path.parent.name in words
        plain = re.sub(r"it asks for \S+", "", words.replace(str(path), ""))  # a name in the file itself
        assert named and not FOREIGN.search(plain), words
        return words
    finally:
        seconds = time.monotonic() - start
        assert seconds < MAX_S, f"took {seconds:.1f} s"
    assert found == expected or not sample.num_rows, f"{found} instead of {expected}"
    return "read"
