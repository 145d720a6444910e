"""The `app` verb: its options, and what it refuses. The page itself is tested in tests/ray_jobs/app."""

import sys

import pytest

from ray_jobs.cli import BAD_INPUT, main
from tests.ray_jobs.command import fail
from tests.saved_models import save_tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save_tiny(tmp_path_factory.mktemp("run"), "pruning")


def test_help_lists_the_options_of_the_model_s_workload(model, capsys):
    with pytest.raises(SystemExit):
        main(["app", model, "--help"])
    found = capsys.readouterr().out
    assert "options of pruning" in found and "--top-k VALUE" in found and "--no-browser" in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--port", "70000"], "--port 70000: a port is a number from 1 to 65535"),
        (["--port", "http"], "--port: invalid int value: 'http'"),
        (["--scale", "2"], "unknown argument '--scale'"),
        ([], "the page is drawn by Gradio, which is not installed: pip install quintet[app]"),
    ],
)
def test_what_cannot_be_served_is_said(model, words, message, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, found = fail(capsys, "app", model, *words)
    assert code == BAD_INPUT and message in found


def test_a_page_is_no_job(model, capsys):
    code, found = fail(capsys, "submit", "app", model)
    assert code == BAD_INPUT and "'app' is not a verb for a job" in found
