"""What standard output is, and text and tables in the form that suits it; the one place that decides on colour.

A terminal gets tables with lines and colour (none under NO_COLOR). A pipe, a file and a terminal that calls itself dumb
get aligned text without control characters, never wrapped or cut off.
"""

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from data_pipelines.readers.bad_file import printable
from ray_jobs.text_table import GAP, TextTable

if TYPE_CHECKING:
    from rich.console import Console

MIN_TEXT_WIDTH = 16
"""Columns of text are folded down to this width before a table is printed as plain text."""


LOST = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT)
"""Errors of an output that nobody reads any more, has no room, or belongs to a terminal that was closed."""


def prepare_streams() -> None:
    """Make standard output and error take every text: what their encoding lacks is printed as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_text(text: object, *, end: str = "\n", is_error: bool = False) -> None:
    """Print a text at once; when standard output (or error) is lost, this and all that follows is passed over."""
    stream = sys.stderr if is_error else sys.stdout
    try:
        print(printable(str(text)), end=end, file=stream, flush=True)
    except OSError as error:
        if error.errno not in LOST:
            raise
        _discard(stream)


def _discard(stream: TextIO) -> None:
    """Lead a stream nowhere, as its buffer would raise the error again at the end of the process."""
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def is_terminal() -> bool:
    """Return whether standard output is a terminal that understands control sequences."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def build_console() -> "Console":
    """Return rich's view of standard output, without its guesses at what text might mean."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False)


def show(*parts: str | TextTable) -> None:
    """Print text and tables, one below the other."""
    if not is_terminal():
        print_text("\n".join(map(str, parts)))
        return
    console = build_console()
    for part in parts:
        if isinstance(part, TextTable) and _fits(part, console.width):
            _print_table(console, part)
        else:
            print_text(part)


def _fits(table: TextTable, width: int) -> bool:
    """Return whether the table can be drawn without breaking a number."""
    needed = 0
    for position, column in enumerate(zip(table.columns, *table.rows, strict=True)):
        longest = max(map(len, column))
        needed += len(GAP) + (longest if position in table.numeric else min(longest, MIN_TEXT_WIDTH))
    return needed <= width


def _print_table(console: "Console", table: TextTable) -> None:
    from rich import box
    from rich.table import Table

    if table.title:
        console.print(table.title, style="bold", soft_wrap=True)
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for position, name in enumerate(table.columns):
        is_numeric = position in table.numeric
        drawn.add_column(name, justify="right" if is_numeric else "left", no_wrap=is_numeric, overflow="fold")
    for position, row in enumerate(table.rows):
        drawn.add_row(*row, style="bold green" if position in table.strong else "")
    console.print(drawn)
