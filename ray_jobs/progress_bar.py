"""The progress bar of a command on a terminal, and its lines anywhere else; other output stands above the bar."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ray_jobs.console import format_duration
from ray_jobs.terminal import build_console, is_terminal, print_text
from trainables.engine.files.messages import WorkerReport

LINE_S = 10.0
"""How often a line tells how many rows are prepared where no bar can be drawn."""


def progress_bar() -> "closing[ProgressBar]":
    """Return a bar for a `with` block, which appears with the first progress, and is gone after the block."""
    return closing(ProgressBar())


class ProgressBar:
    """One bar at a time: over the rows of the data, then over the steps of a training."""

    def __init__(self) -> None:
        self._drawn: Progress | None = None
        self._stack = ExitStack()
        self._printed = time.monotonic()
        self._first: tuple[float, int] | None = None
        """When the first rows were shown, and how many."""

    def show_rows(self, done: int, total: int) -> None:
        """Show how many rows of the data are prepared."""
        self._show_count(done, total, "prepare", "prepared", "rows")

    def show_inputs(self, done: int, total: int) -> None:
        """Show how many inputs are predicted."""
        self._show_count(done, total, "predict", "predicted", "inputs")

    def _show_count(self, done: int, total: int, title: str, verb: str, unit: str) -> None:
        words = f"{done:,} of {total:,} {unit}{self._estimate_left(done, total)}"
        if is_terminal() or self._drawn is not None:
            self._draw(title, done, total, words)
        elif done < total and time.monotonic() - self._printed > LINE_S:
            self._printed = time.monotonic()
            print_text(f"{verb} {words}")
        if done >= total:
            self.close()

    def _estimate_left(self, done: int, total: int) -> str:
        now = time.monotonic()
        began, skipped = self._first = self._first or (now, done)
        if done <= skipped or done >= total:
            return ""
        return f", about {format_duration((now - began) * (total - done) / (done - skipped))} left"

    def show_steps(self, report: WorkerReport) -> None:
        """Show how far a training is; where no bar can be drawn its log lines say so."""
        if is_terminal() or self._drawn is not None:
            step, total = report["step"], report["num_steps"]
            self._draw("train", step, total, f"{step:,} of {total:,} steps")
        if report["is_finished"] or "stopped_by" in report:
            self.close()

    def _draw(self, title: str, done: int, total: int, words: str) -> None:
        if self._drawn is None:
            self._drawn = self._stack.enter_context(_drawn_bar(title))
            self._drawn.add_task(words, completed=done, total=total)
        else:
            self._drawn.update(self._drawn.task_ids[0], completed=done, total=total, description=words)

    def close(self) -> None:
        """Remove the bar, if there is one."""
        self._stack.close()
        self._drawn = self._first = None


@contextmanager
def _drawn_bar(title: str) -> Iterator[Progress]:
    """Yield a bar on a terminal. The cursor stays visible, so that a killed process leaves none that is hidden."""
    console = build_console()
    console.show_cursor = lambda show=True: False
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        refresh_per_second=4,
        redirect_stderr=sys.stderr.isatty(),
    )
    with _loggers_above(bar):
        yield bar


@contextmanager
def _loggers_above(progress: Progress) -> Iterator[None]:
    """Draw the bar, and have loggers write above it that have kept the streams of before."""
    before = sys.stdout, sys.stderr
    with progress:
        now = sys.stdout, sys.stderr
        moved: list[tuple[logging.StreamHandler, object]] = []
        loggers = [logging.root, *logging.root.manager.loggerDict.values()]
        for handler in {handler for logger in loggers for handler in getattr(logger, "handlers", [])}:
            if isinstance(handler, logging.StreamHandler) and handler.stream in before:
                moved.append((handler, handler.stream))
                handler.setStream(now[before.index(handler.stream)])
        try:
            yield
        finally:
            for handler, stream in moved:
                handler.setStream(stream)
