"""The `check` verb tells what would happen."""

import sys

import pytest

from ray_jobs.cli import DONE, main
from ray_jobs.commands.check import check
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_environment import check_wandb
from tests.fake_wandb import FakeWandb
from tests.fake_wandb.process import KEY

pytestmark = pytest.mark.filterwarnings("default")
ON = Tracking(wandb=True)


@pytest.fixture(autouse=True)
def clean(tmp_path, monkeypatch):
    """No key, no server, and W&B's memory of both forgotten."""
    import wandb

    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    wandb.teardown()
    yield
    wandb.teardown()


def test_without_network_or_key_check_reports_what_a_run_does(tmp_path):
    found = check_wandb(ON)
    assert "cannot be reached" in str(found["server"]) and str(found["key"]).startswith("none")
    assert found["outcome"] == ("a run warns once and is recorded on disk and as offline W&B files; `sync` sends it")


@pytest.mark.parametrize(
    ("tracking", "words"),
    [
        (Tracking(), "on disk alone; turn W&B on"),
        (Tracking(wandb=True, mode="offline"), "as offline W&B files; `sync`"),
    ],
)
def test_what_the_settings_decide_needs_no_server(tracking, words):
    assert words in str(check_wandb(tracking)["outcome"])


@pytest.mark.slow
@pytest.mark.parametrize("is_known", [True, False])
def test_a_key_is_tried_and_never_shown(monkeypatch, is_known):
    with FakeWandb(keys={KEY if is_known else "local-" + "f" * 40}) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        found = check_wandb(ON)
    assert found["server"] == f"{server.url} answers (status 404)" or "answers" in str(found["server"])
    assert ("accepted for tester" if is_known else "refused") in str(found["key"])
    assert ("online" in str(found["outcome"])) == is_known
    assert KEY not in str(found)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    found = check_wandb(ON)
    assert "cannot be imported" in str(found["package"])
    assert found["outcome"] == "a run is recorded on disk alone, with one warning"


def test_versions_hardware_and_storage_are_reported(toy, tmp_path):
    text, found = check(toy())
    assert found["versions"]["ray"] == "2.60.0" and int(found["hardware"]["cpus"]) >= 1
    assert found["storage"]["path"] == str(tmp_path) and found["storage"]["writable"] == "yes"
    assert "turn W&B on" in text


def test_an_unwritable_storage_is_reported(toy, tmp_path):
    (tmp_path / "file").write_text("")
    _, found = check(toy(storage={"path": str(tmp_path / "file/below")}))
    assert found["storage"]["writable"].startswith("no: ")


def test_the_verb_needs_no_experiment_and_makes_no_folder(tmp_path, monkeypatch, capsys):
    for name in ("home", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    assert main(["check", "--json"]) == DONE
    out = capsys.readouterr().out
    assert '"outcome"' in out and f'"path": "{tmp_path}/home/quintet", "writable": "yes; the folder is made' in out
    assert [*tmp_path.joinpath("home").iterdir(), *tmp_path.joinpath("here").iterdir()] == []


def test_a_missing_storage_is_reported_and_not_made(toy, tmp_path):
    _, found = check(toy(storage={"path": str(tmp_path / "new/below")}))
    assert found["storage"]["writable"].startswith("yes; the folder is made") and not (tmp_path / "new").exists()
