"""`sync` makes W&B's run equal to the record, whatever arrived before, and can be repeated."""

import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.cli import BAD_INPUT, DONE, FAILED, main
from ray_jobs.commands.sync import find_runs, sync
from ray_jobs.runs.model_references import locate_model
from ray_jobs.runs.training import train
from tests.fake_wandb import FakeWandb
from tests.fake_wandb.process import sync as sync_by_wandb
from tests.fake_wandb.process import wandb_environment
from tests.ray_jobs.tracking.conftest import assert_same_rows, rows_of, run_of, train_apart

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def assert_arrived(server: FakeWandb, experiment) -> None:
    run = run_of(server, experiment)
    assert_same_rows(run.history, rows_of(experiment))
    assert run.exit_code == 0
    versions = server.artifacts["team", "project", f"{run.display_name}-{run.run_id}"]
    by_alias = {alias: version for version in versions for alias in version.aliases}
    assert by_alias["best"].metadata["global_step"] == by_alias["latest"].metadata["global_step"] == 24
    assert by_alias["best"].files["model.safetensors"] == experiment.folder.read(
        "models/step_000000024/model.safetensors"
    )
    [used] = server.used["team", "project", run.run_id]
    assert server.state.version(used).type == "dataset"


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30.0
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def test_the_offline_runs_of_a_folder_are_sent_in_order_and_once(server, tracked, tmp_path, capsys):
    first, second = tracked(mode="offline", run_name="first"), tracked(mode="offline", run_name="second")
    for experiment in (first, second):
        train(experiment)
    train(tracked(wandb=False, run_name="untracked"))
    assert main(["sync", str(tmp_path)]) == DONE
    assert [run.display_name for run in server.runs.values()] == ["first", "second"]
    assert_arrived(server, first)
    assert_arrived(server, second)
    out = capsys.readouterr().out
    assert "first: sent 24 rows" in out and "second: sent 24 rows" in out
    rows = [len(run.history) for run in server.runs.values()]
    versions = {name: len(versions) for name, versions in server.artifacts.items()}
    assert main(["sync", str(tmp_path)]) == DONE
    assert "first: all of it had arrived before" in capsys.readouterr().out
    for file in tmp_path.rglob("ledger.json"):
        file.unlink()  # the server knows
    assert main(["sync", str(tmp_path)]) == DONE
    assert "first: sent 0 rows" in capsys.readouterr().out
    assert [len(run.history) for run in server.runs.values()] == rows
    assert {name: len(versions) for name, versions in server.artifacts.items()} == versions


@pytest.mark.faults
def test_a_run_that_was_killed_and_went_on_offline_becomes_one(server, tracked, tmp_path):
    kill = tmp_path / "kill"
    experiment = tracked({"workload": {"kill_file": str(kill)}}, mode="offline")
    kill.write_text("13")
    assert train_apart(experiment, tmp_path / "toy.yaml").returncode == -signal.SIGKILL
    assert train_apart(experiment, tmp_path / "toy.yaml").returncode == 0
    assert sync(experiment.folder, print)["failed"] == []
    assert_arrived(server, experiment)


def test_what_wandb_s_own_tool_has_sent_is_not_sent_again(server, tracked, home):
    experiment = tracked(mode="offline")
    train(experiment)
    folders = [file.parent for file in Path(experiment.folder.full("wandb")).glob("offline-run-*/run-*.wandb")]
    sync_by_wandb(folders, {**wandb_environment(home, server.url), "WANDB_DIR": str(home)})
    assert_same_rows(run_of(server, experiment).history, rows_of(experiment))
    assert sync(experiment.folder)["sent"][str(experiment.folder)]["rows"] == 0
    assert_arrived(server, experiment)


def test_what_a_server_missed_in_mid_run_is_sent(server, tracked, monkeypatch):
    experiment = tracked()
    server.fail(404, on="filestream")
    train(experiment)
    assert len(run_of(server, experiment).history) == 0
    server.heal()
    assert sync(experiment.folder)["failed"] == []
    assert_arrived(server, experiment)


@pytest.mark.faults
def test_a_run_whose_first_part_arrived_gets_the_rest(server, tracked, tmp_path):
    kill = tmp_path / "kill"
    experiment = tracked({"workload": {"kill_file": str(kill)}})
    kill.write_text("13")
    assert train_apart(experiment, tmp_path / "toy.yaml").returncode == -signal.SIGKILL
    wait_until(lambda: any(run.is_finished for run in server.runs.values()))  # the mirror outlives its driver
    held = len(run_of(server, experiment).history)
    assert 0 < held < 24
    server.fail(500)
    assert train_apart(experiment, tmp_path / "toy.yaml").returncode == 0
    assert len(run_of(server, experiment).history) == held
    server.heal()
    summary = sync(experiment.folder)
    assert summary["sent"][str(experiment.folder)]["rows"] == 24 - held
    assert_arrived(server, experiment)


def test_a_folder_that_was_moved_is_sent_all_the_same(server, tracked, tmp_path):
    experiment = tracked(mode="offline")
    train(experiment)
    moved = tmp_path / "elsewhere"
    shutil.move(experiment.folder.path, moved)
    assert sync(Folder(str(moved)))["failed"] == []
    [run] = server.runs.values()
    assert len(run.history) == 24


def test_a_server_that_refuses_leaves_all_as_it_was(server, tracked, capsys):
    experiment = tracked(mode="offline")
    train(experiment)
    server.refuse()
    assert main(["sync", str(experiment.folder)]) == FAILED
    captured = capsys.readouterr()
    assert "W&B did not take all of" in captured.err
    server.heal()
    assert main(["sync", str(experiment.folder)]) == DONE
    assert_arrived(server, experiment)


def test_there_must_be_a_run_to_send(tmp_path, tracked, capsys):
    assert main(["sync", str(tmp_path)]) == BAD_INPUT
    assert f"there is no run in {tmp_path}" in capsys.readouterr().err
    assert main(["sync"]) == BAD_INPUT
    train(tracked(wandb=False))
    with pytest.raises(ValueError, match="ran without W&B"):
        find_runs(Folder(str(tmp_path)))


def test_a_model_comes_back_from_wandb(server, tracked, tmp_path):
    experiment = tracked()
    train(experiment)
    run = run_of(server, experiment)
    reference = f"wandb:team/project/toy-run-{run.run_id}:best"
    storage = str(tmp_path / "other")
    model = locate_model(reference, storage)
    assert model.read("model.safetensors") == experiment.folder.read("models/step_000000024/model.safetensors")
    assert str(model).startswith(f"{storage}/downloads/")
    with pytest.raises(ValueError, match="cannot be had from W&B"):
        locate_model(f"wandb:team/project/toy-run-{run.run_id}:worst", storage)
    with pytest.raises(ValueError, match="write it as wandb:team/project/name:alias"):
        locate_model("wandb:toy-run:best", storage)
