"""Limit of warnings of one kind: the first twenty files are named, the others counted."""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from data_pipelines.readers.bad_file import NAMED

_log = logging.getLogger(__name__)


@contextmanager
def limited_warnings() -> Iterator[None]:
    """Let through the first twenty warnings of each kind inside the block, and log at its end how many more there were.

    Kinds are the texts before the names of files and numbers are filled in. The same warning is let through once.
    """
    limit = _Limit()
    handlers = [*logging.root.handlers, *([logging.lastResort] if logging.lastResort else [])]
    for handler in handlers:
        handler.addFilter(limit)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(limit)
        for words, count in limit.counts.items():
            if count > NAMED:
                _log.warning("and %d more of: %s", count - NAMED, words.replace("%s", "...").replace("%d", "..."))


class _Limit(logging.Filter):
    """Filter of the warnings of files; several handlers may see one record."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._last: tuple[logging.LogRecord, bool] | None = None
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(("data_pipelines.", "trainables.")) or record.levelno != logging.WARNING:
            return True
        if self._last is None or record is not self._last[0]:
            self._last = record, self._is_new(record)
        return self._last[1]

    def _is_new(self, record: logging.LogRecord) -> bool:
        words = record.getMessage()
        if words in self._said:
            return False
        self._said.add(words)
        self.counts[str(record.msg)] += 1
        return self.counts[str(record.msg)] <= NAMED
