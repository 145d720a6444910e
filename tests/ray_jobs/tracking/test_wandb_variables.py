"""Variables of W&B that users have set: none changes the run's id, none keeps the record from W&B's files."""

import re
import sys
from pathlib import Path

import pytest

from ray_jobs.run_folder.identity import load_identity
from ray_jobs.runs.training import train
from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_environment import MODES, ask_server, check_wandb, clean_variables, mode_of
from tests.fake_wandb import FakeWandb
from tests.ray_jobs.tracking.conftest import Tracked, assert_recorded_offline, run_of, warnings_of

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("word", ["", " ", "online", "shared", "offline", "dryrun", "disabled", "Online"])
def test_the_mode_is_the_settings_or_else_the_variable_s(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", word)
    assert mode_of(Tracking()) == (MODES.get(word, "offline") if word.strip() else "online")
    assert mode_of(Tracking(mode="offline")) == "offline"


def test_what_would_change_the_run_is_taken_away_and_named() -> None:
    environment = {"WANDB_RUN_ID": "a", "WANDB_SWEEP_ID": "b", "WANDB_NAME": "c", "WANDB_PROJECT": "d", "PATH": "e"}
    [line] = clean_variables(environment, Tracking())
    assert "WANDB_RUN_ID, WANDB_SWEEP_ID" in line and "WANDB_NAME" not in line
    assert environment == {"WANDB_PROJECT": "d", "PATH": "e"}


def test_an_empty_variable_is_unset_and_a_key_loses_its_blanks() -> None:
    environment = {"WANDB_MODE": "", "WANDB_PROJECT": " ", "WANDB_API_KEY": " key\n", "PATH": ""}
    assert clean_variables(environment, Tracking()) == []
    assert environment == {"WANDB_API_KEY": "key", "PATH": ""}


def test_an_unknown_mode_is_named_with_what_is_allowed() -> None:
    [line] = clean_variables({"WANDB_MODE": "Online"}, Tracking())
    assert "WANDB_MODE='Online'" in line and all(mode in line for mode in MODES)


@pytest.mark.parametrize("key", ["abc", "x" * 39, "a b" * 20])
def test_a_malformed_key_is_one_line_of_the_check(home: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    import wandb

    monkeypatch.setenv("WANDB_API_KEY", key)
    wandb.teardown()
    found = check_wandb(Tracking(wandb=True))
    wandb.teardown()
    assert "WANDB_API_KEY" in str(found["key"]) and "\n" not in str(found["key"]) and key not in str(found)


def test_check_names_a_variable_that_wandb_refuses(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_CONSOLE", "nonsense")
    wandb.teardown()
    found = check_wandb(Tracking(wandb=True))
    wandb.teardown()
    assert found["variables"] == "WANDB_CONSOLE in the environment is left out: it is no console that W&B takes"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://me:hunter2@127.0.0.1:1", r"^http://127\.0\.0\.1:1 "),
        ("http://me:hunter2@127.0.0.1:port", r"^http://127\.0\.0\.1:port is no address of a server"),
        ("gopher2://me:hunter2@a", "^gopher2://a "),
    ],
)
def test_the_password_of_a_server_is_not_shown(url: str, words: str) -> None:
    shown, answers = ask_server(url)
    assert re.search(words, shown) and "hunter2" not in shown and not answers


def test_check_leaves_the_environment_as_it_was(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "Online")
    monkeypatch.setitem(sys.modules, "wandb", None)
    found = check_wandb(Tracking(wandb=True))
    assert "WANDB_MODE='Online'" in str(found["variables"]) and found["mode"] == "offline"
    assert mode_of(Tracking()) == "offline"


def test_a_disabled_run_has_nothing_of_wandb(
    home: Path, tracked: Tracked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    experiment = tracked()
    train(experiment)
    assert capsys.readouterr().out.count("W&B") == 1
    assert not Path(experiment.folder.full("wandb")).exists()


@pytest.mark.slow
def test_the_run_keeps_its_id_whatever_is_set(home: Path, tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_NAME"):
        monkeypatch.setenv(name, "shared123")
    experiment = tracked(mode="offline")
    train(experiment)
    [file] = Path(experiment.folder.full("wandb")).glob("offline-run-*/run-*.wandb")
    assert file.stem == f"run-{load_identity(experiment.folder).wandb_id}"
    assert_recorded_offline(experiment)
    [warning] = warnings_of(experiment)
    assert "WANDB_RUN_ID, WANDB_SWEEP_ID" in warning


@pytest.mark.slow
def test_an_unknown_mode_still_records_offline(home: Path, tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "Online")
    experiment = tracked()
    train(experiment)
    assert_recorded_offline(experiment)
    [warning] = warnings_of(experiment)
    assert "WANDB_MODE='Online'" in warning


@pytest.mark.slow
def test_variables_describe_a_run_where_settings_do_not(
    server: FakeWandb, tracked: Tracked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"PROJECT": "theirs", "ENTITY": "them", "RUN_GROUP": "series", "TAGS": "a,b", "NOTES": "words"}
    for name, value in {**given, "DIR": str(tmp_path / "elsewhere")}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    described = tracked(project=None, run_name="described")
    decided = tracked(project="ours", entity="us", group="mine", tags=["c"], notes="other", run_name="decided")
    for experiment in (described, decided):
        train(experiment)
        assert warnings_of(experiment) == [] and not experiment.folder.exists("wandb")
        assert list((tmp_path / "elsewhere" / experiment.run_id / "wandb").glob("run-*"))
    runs = [run_of(server, experiment) for experiment in (described, decided)]
    found = [(run.entity, run.project, run.group, run.notes, sorted(run.tags)) for run in runs]
    assert found == [
        ("them", "theirs", "series", "words", ["a", "b", "toy"]),
        ("us", "ours", "mine", "other", ["c", "toy"]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [("TAGS", "a,,b"), ("TAGS", "x" * 65), ("INIT_TIMEOUT", "soon"), ("QUIET", "perhaps"), ("DIR", "F")],
)
def test_a_malformed_variable_costs_a_warning_and_no_row(
    home: Path, tracked: Tracked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / "file/below") if name == "DIR" else value)
    experiment = tracked(mode="offline")
    train(experiment)
    assert_recorded_offline(experiment)
    [warning] = warnings_of(experiment)
    assert f"WANDB_{name} in the environment is left out" in warning and (name == "DIR" or value not in warning)
