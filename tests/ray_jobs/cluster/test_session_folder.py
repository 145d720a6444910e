"""The folder of a local Ray's sessions, chosen without starting one."""

import os
import shutil
from pathlib import Path

import pytest

from ray_jobs.cluster import session_folder
from ray_jobs.cluster.session_folder import choose_session_folder, short_folder


@pytest.fixture
def short(tmp_path, monkeypatch):
    """The only short folder, as pytest's own are long; without variables of Ray."""
    base = Path(f"/tmp/q{os.getpid()}")
    base.mkdir()
    monkeypatch.setattr(session_folder, "SHORT", (str(base),))
    monkeypatch.setenv("RAY_TMPDIR", "")
    monkeypatch.delenv("TMPDIR", raising=False)
    yield base
    shutil.rmtree(base)


def test_a_usual_folder_is_left_to_ray(short):
    assert choose_session_folder() is None
    assert "RAY_TMPDIR" not in os.environ


def test_a_long_tmpdir_gives_way_to_a_short_folder(short, monkeypatch):
    long = f"{short}/{'x' * 60}"
    monkeypatch.setenv("TMPDIR", long)
    own = f"{short}/ray-{os.getuid()}"
    assert choose_session_folder() == (
        f"Ray's files go to {own}, as in {long}/ray they cannot be (its path has {len(long) + 4} bytes, and Ray's "
        "sockets leave 40); RAY_TMPDIR chooses another folder"
    )
    assert os.environ["RAY_TMPDIR"] == own and Path(own).stat().st_mode & 0o777 == 0o700


def test_a_folder_of_somebody_else_gives_way_to_an_own_one(short, monkeypatch):
    (short / "ray").mkdir()
    monkeypatch.setattr(session_folder, "_is_writable", lambda folder: folder != short / "ray")
    line = choose_session_folder()
    assert line and f"({short}/ray cannot be written by this user)" in line
    assert os.environ["RAY_TMPDIR"] == f"{short}/ray-{os.getuid()}"


def test_a_folder_that_others_can_write_is_not_taken(short, monkeypatch):
    monkeypatch.setenv("TMPDIR", f"{short}/{'x' * 60}")
    (short / f"ray-{os.getuid()}").mkdir()
    (short / f"ray-{os.getuid()}").chmod(0o777)
    choose_session_folder()
    assert os.environ["RAY_TMPDIR"].startswith(f"{short}/ray-{os.getuid()}-")


def test_without_a_short_folder_the_advice_is_ray_tmpdir(short, monkeypatch):
    monkeypatch.setattr(session_folder, "_is_writable", lambda folder: False)
    for choose in (choose_session_folder, short_folder):
        with pytest.raises(ValueError, match="set RAY_TMPDIR to a short path of a folder that can be written"):
            choose()


def test_a_given_ray_tmpdir_that_is_too_long_is_refused(short, monkeypatch):
    given = f"{short}/{'x' * 60}"
    monkeypatch.setenv("RAY_TMPDIR", given)
    assert short_folder() == str(short)
    with pytest.raises(ValueError, match=f"^RAY_TMPDIR={given}: its path has .* bytes, and Ray's sockets leave 40; "):
        choose_session_folder()


def test_a_given_ray_tmpdir_that_is_a_file_is_refused(short, monkeypatch):
    (short / "f").write_text("")
    monkeypatch.setenv("RAY_TMPDIR", f"{short}/f")
    with pytest.raises(ValueError, match=f"^RAY_TMPDIR={short}/f: {short}/f is no folder; "):
        choose_session_folder()
