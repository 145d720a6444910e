"""Standard output that is lost, or cannot show a text, ends nothing."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ray_jobs.__main__ import main
from ray_jobs.exit_codes import DONE, INTERRUPTED
from ray_jobs.terminal import print_text

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, **arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, **arguments)  # pyright: ignore


PRINTING = (
    "from ray_jobs.terminal import print_text\nfor n in range(5000): print_text(f'line {n}')\nraise SystemExit(7)"
)


def test_a_pipe_that_nobody_reads_is_passed_over() -> None:
    process = python(PRINTING, stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate()
    assert errors == b"" and process.returncode == 7


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_of_standard_output_is_passed_over() -> None:
    with open("/dev/full", "wb") as full:
        process = python(PRINTING, stdout=full)
        _, errors = process.communicate()
    assert errors == b"" and process.returncode == 7


def test_a_closed_standard_output_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    print_text("words")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path, closed: tuple[int, ...]) -> None:
    code = (
        f"import os, sys\nfrom ray_jobs.__main__ import main\nsys.argv = ['quintet', 'list']\ncode = main()\n"
        f"file = open({str(tmp_path / 'file')!r}, 'w')\n"
        "for number in (1, 2): os.write(number, b'words of a library')\n"
        "raise SystemExit(code if file.fileno() > 2 and sys.stdout and not sys.stdout.isatty() else 9)"
    )

    def close() -> None:
        for number in closed:
            os.close(number)

    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, preexec_fn=close, stdin=subprocess.DEVNULL)
    assert process.returncode == DONE and (tmp_path / "file").read_text() == ""


def test_any_text_can_be_printed_in_any_encoding() -> None:
    code = "from ray_jobs.terminal import *\nprepare_streams()\nprint_text('gr\\u00fcn \\udcff')"
    process = python(code, stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    out, errors = process.communicate()
    assert out == b"gr\\xfcn \\xff\n" and errors == b"" and process.returncode == DONE


def test_ctrl_c_during_the_imports_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Importing(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "ray_jobs.cli", Importing("ray_jobs.cli"))
    assert main() == INTERRUPTED
    assert capsys.readouterr().err == "interrupted before it began\n"
