"""What a terminal, a pipe and a dumb terminal get to see."""

import sys
from collections.abc import Callable

import pytest

from ray_jobs import terminal
from ray_jobs.terminal import is_terminal, show
from ray_jobs.text_table import TextTable

PATH = "/some/folder/" + "long-name/" * 20
TABLE = TextTable(["model", "value"], [[PATH, "0.25"], ["[bold]b[/bold] :smile:", "1,234"]], numeric=(1,), strong=(0,))


@pytest.fixture
def use_screen(monkeypatch, capsys) -> Callable[[], None]:
    """Makes standard output a terminal of 80 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    return lambda: monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_a_pipe_gets_plain_lines_that_are_not_cut(capsys):
    show("head", TABLE)
    assert capsys.readouterr().out == f"head\n{TABLE}\n" and PATH in str(TABLE)


def test_a_terminal_gets_colour_and_no_cell_is_markup(use_screen, capsys):
    use_screen()
    show("head", TABLE)
    out = capsys.readouterr().out
    assert "\x1b[1;32m" in out and "[bold]b[/bold] :smile:" in out and out.startswith("head\n")


def test_no_color_leaves_no_colour(use_screen, monkeypatch, capsys):
    use_screen()
    monkeypatch.setenv("NO_COLOR", "1")
    show(TABLE)
    assert "\x1b[1m" in (out := capsys.readouterr().out) and "\x1b[1;32m" not in out


def test_a_dumb_terminal_gets_what_a_pipe_gets(use_screen, monkeypatch, capsys):
    use_screen()
    monkeypatch.setenv("TERM", "dumb")
    assert not is_terminal()
    show(TABLE)
    assert capsys.readouterr().out == f"{TABLE}\n"


def test_numbers_that_do_not_fit_are_not_broken(use_screen, capsys):
    use_screen()
    table = TextTable(["metric", *map(str, range(12))], [["a", *["0.12345678"] * 12]], numeric=range(1, 13))
    show(table)
    assert capsys.readouterr().out == f"{table}\n"


def test_the_width_counts_gaps_and_folded_text(use_screen):
    use_screen()
    table = TextTable(["a", "b"], [["x" * 60, "1" * 20]], numeric=(1,))
    assert terminal._fits(table, 40) and not terminal._fits(table, 39)
