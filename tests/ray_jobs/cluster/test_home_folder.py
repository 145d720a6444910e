"""A user without a name and a home folder, or with one that cannot be written."""

import os
import subprocess
import sys

import pytest

from ray_jobs.cluster.home_folder import provide_home
from ray_jobs.cluster.ray_token import provide_token
from ray_jobs.settings.experiment import Storage, check_settings
from tests.ray_jobs.command import fail

SETTINGS = {"workload": {"name": "toy"}, "training": {"epochs": 1}}


@pytest.fixture
def homeless(monkeypatch):
    """A process whose home folder nobody knows."""

    def find(path: str) -> str:
        return path.replace("~", os.environ.get("HOME") or "~", 1)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os.path, "expanduser", find)


def test_with_a_storage_path_no_home_folder_is_needed(homeless, tmp_path):
    settings = {**SETTINGS, "storage": {"path": str(tmp_path)}}
    assert check_settings(settings, "x").folder.path.startswith(f"{tmp_path}/runs/")
    assert Storage().path == "~/quintet"


def test_without_a_storage_path_it_is_asked_for(homeless, capsys):
    assert fail(capsys, "show", "demo/flow_matching") == (
        2,
        "~/quintet: no home folder is known for ~; give storage.path, or this path, in full",
    )


def test_a_tilde_in_another_path_is_refused_by_its_key(homeless):
    with pytest.raises(
        ValueError, match=r"tracking.folder: ~/w: no home folder is known for ~; give this path in full"
    ):
        check_settings({**SETTINGS, "tracking": {"folder": "~/w"}}, "x")


def test_check_needs_no_home_folder():
    """In a process of its own, as W&B's package keeps what it has found once."""
    code = (
        "import os; os.path.expanduser = lambda path: path.replace('~', os.environ.get('HOME', '~'), 1)\n"
        "from ray_jobs.commands.check import check; check(None)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOME"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=120)


def test_a_home_folder_is_lent_to_libraries_once(homeless, monkeypatch):
    line = provide_home()
    assert line == f"no home folder is known; libraries get {os.environ['HOME']}, which is removed at the end"
    assert provide_home() is None
    monkeypatch.setenv("HOME", "")
    assert provide_home() is not None


@pytest.mark.parametrize("can_write", [False, True])
def test_a_token_stays_here_where_home_cannot_be_written(monkeypatch, tmp_path, can_write):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(os, "access", lambda path, mode: can_write)
    provide_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == (0 if can_write else 64)
