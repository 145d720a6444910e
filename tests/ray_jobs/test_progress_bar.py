"""The progress bar on a terminal and its lines in a pipe."""

import io
import logging
import sys
from collections.abc import Callable
from typing import Any

import pytest

from ray_jobs import progress_bar as module
from ray_jobs.progress_bar import progress_bar


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def use_screen(monkeypatch) -> Callable[[], Screen]:
    """Makes standard output and standard error a terminal of 100 columns."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")

    def use() -> Screen:
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        monkeypatch.setattr(sys, "stderr", screen)
        return screen

    return use


def make_report(step: int, **changes: Any) -> Any:
    return {"step": step, "num_steps": 1600, "is_finished": False, **changes}


def test_a_bar_shows_rows_then_steps_and_goes(use_screen):
    screen = use_screen()
    with progress_bar() as bar:
        bar.show_rows(10, 20)
        assert "10 of 20 rows" in screen.getvalue()
        bar.show_rows(20, 20)
        assert sys.stdout is screen
        bar.show_steps(make_report(120))
        print("a line")
        assert "120 of 1,600 steps" in screen.getvalue() and "\x1b[2Ka line\n" in screen.getvalue()
        bar.show_steps(make_report(1600, is_finished=True))
    assert screen.getvalue().endswith("\x1b[2K") and "\x1b[?25l" not in screen.getvalue()


def test_loggers_of_before_write_above_the_bar(use_screen):
    screen = use_screen()
    logger = logging.getLogger("quintet.test")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    try:
        with progress_bar() as bar:
            bar.show_rows(1, 2)
            logger.warning("a warning")
            assert "\x1b[2Ka warning\n" in screen.getvalue()
        assert handler.stream is screen
    finally:
        logger.removeHandler(handler)


def test_a_bar_is_gone_after_an_error(use_screen):
    screen = use_screen()
    with pytest.raises(ValueError), progress_bar() as bar:
        bar.show_rows(1, 2)
        raise ValueError
    assert sys.stdout is screen and screen.getvalue().endswith("\x1b[2K")


def test_a_pipe_gets_a_line_now_and_then(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress_bar() as bar:
        for done in range(0, 4000, 1000):
            bar.show_rows(done, 4000)
            now[0] += 6
        bar.show_rows(4000, 4000)
        bar.show_steps(make_report(1))
    assert capsys.readouterr().out == "prepared 2,000 of 4,000 rows, about 12s left\n"
