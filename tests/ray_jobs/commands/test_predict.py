"""The `predict` verb: its options, what it writes, and what it refuses."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ray_jobs.cli import BAD_INPUT, DONE, check_words, main
from tests.ray_jobs.command import call, fail
from tests.saved_models import save_untrained

SPEC = {"channels": 1, "height": 8, "width": 8, "class_names": ["zero", "one", "two"]}
SETTINGS = {"name": "pruning", "arch": "res20s", "data": {"source": "digits"}}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return save_untrained(tmp_path_factory.mktemp("run"), SETTINGS, SPEC)


@pytest.fixture
def elsewhere(model, tmp_path, monkeypatch) -> Path:
    """A working folder that holds nothing but the model and three pictures."""
    shutil.copytree(model, tmp_path / "mine")
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        Image.fromarray(np.full((9, 9), 80 * number, np.uint8)).save(tmp_path / f"pictures/{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_is_all_that_is_needed(elsewhere, capsys):
    words = ("predict", "./mine", "--input", "pictures", "--out", "out", "--top-k", 2)
    code, summary, _ = call(capsys, *words)
    assert code == DONE and (summary["inputs"], summary["predicted"]) == (3, 3)
    with (elsewhere / "out/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == ["0.png", "1.png", "2.png"] and "class_2" in rows[0]
    assert call(capsys, *words)[1]["done_before"] == 3


def test_help_lists_the_options_of_the_model_s_workload(elsewhere, capsys):
    with pytest.raises(SystemExit):
        main(["predict", "./mine", "--help"])
    found = capsys.readouterr().out
    assert "options of pruning" in found and "--top-k VALUE" in found and "(by default 1)" in found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--input", "pictures"], "predict needs --out"),
        (["--input", "pictures", "--out", "out", "--top-k", "no"], "option top_k: Input should be a valid integer"),
        (["--input", "pictures", "--out", "out", "--tile-size", "8"], "unknown argument '--tile-size'"),
        (["--input", "s3://user:secret@bucket/x", "--out", "out"], "credentials do not belong in a path"),
        (["--out", "out"], "--input is missing; give a file or a folder with files (.png"),
    ],
)
def test_wrong_options_are_named(elsewhere, capsys, words, message):
    code, found = fail(capsys, "predict", "./mine", *words)
    assert code == BAD_INPUT and message in found and "secret" not in found


def test_a_model_that_is_not_there_is_named(elsewhere, capsys):
    code, found = fail(capsys, "predict", "./nowhere", "--input", "pictures", "--out", "out")
    assert (
        code == BAD_INPUT and found == "./nowhere does not exist; give a folder that does, or the name of a run alone"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "./mine", "--out", "/out"], "MODEL ./mine: a job runs on other machines; give a URI, or a path"),
        (
            ["predict", "/mine", "--input", "pictures", "--out", "/out"],
            "--input pictures: a job runs on other machines",
        ),
        (["predict", "s3://bucket/model"], "predict needs --out"),
    ],
)
def test_a_job_gets_paths_of_its_own_machines(words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_words(words)


def test_a_job_s_options_are_checked_if_its_model_is_here(model, capsys):
    words = ["predict", str(model), "--input", "/pictures", "--out", "/out"]
    assert check_words([*words, "--top-k", "2"]) == model and capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="unknown argument '--top-l'; did you mean 'top-k'"):
        check_words([*words, "--top-l", "2"])
    assert check_words(["predict", "/nowhere", *words[2:], "--steps", "2"]) == Path("/nowhere")
    assert "/nowhere does not exist" in capsys.readouterr().out


def test_the_cluster_is_connected_before_ray_is_imported(model, tmp_path):
    """In a process of its own: Ray reads the environment, such as RAY_AUTH_MODE, when it is imported."""
    code = (
        "import sys\n"
        "from ray_jobs import cli\n"
        "from ray_jobs.cluster import connection\n"
        "connection.connect = lambda: sys.exit(f'imported {\"ray\" in sys.modules}')\n"
        "cli.main(sys.argv[1:])"
    )
    words = ["predict", str(model), "--input", str(tmp_path), "--out", str(tmp_path / "out"), "--num-workers", "1"]
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert ended.stderr.splitlines()[-1] == "imported False"
