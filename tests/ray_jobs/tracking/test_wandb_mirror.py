"""A W&B run holds what the record holds: read from W&B's own files and from a server."""

import json
import re
import signal
from contextlib import closing
from pathlib import Path

import pytest

from ray_jobs.run_folder.identity import load_identity
from ray_jobs.runs.training import train
from ray_jobs.tracking.mirror_handle import MirrorHandle
from ray_jobs.tracking.tracking_process import Tracker
from tests.ray_jobs.tracking.conftest import (
    assert_same_rows,
    killing_one_process,
    rows_of,
    run_of,
    segments_of,
    train_apart,
    warnings_of,
)

pytestmark = pytest.mark.filterwarnings("default")


def test_an_offline_run_is_whole_in_wandb_s_own_file(home, tracked):
    experiment = tracked(mode="offline", tags=["a"], watch="all", watch_every_steps=10)
    train(experiment)
    [segment] = segments_of(experiment)
    rows, identity = rows_of(experiment), load_identity(experiment.folder)
    assert_same_rows(segment.rows, rows)
    assert segment.is_complete and segment.exit_code == 0
    assert segment.run_id == identity.wandb_id and segment.project == "project" and segment.entity == "team"
    events = [json.loads(line) for line in experiment.folder.read("events.jsonl").splitlines()]
    reported = {event["step"]: event["time"] for event in events}
    assert [row["_timestamp"] for row in segment.rows if row["step"] in reported] == [
        reported[row["step"]] for row in segment.rows if row["step"] in reported
    ]
    check_config(segment.config, experiment)
    check_summary(segment.summary, experiment, rows)
    check_axes(segment)
    check_media(segment, experiment)
    [model] = [artifact for artifact in segment.artifacts if artifact.type == "model"][-1:]
    check_model(model, experiment)
    assert warnings_of(experiment) == []


def check_config(config, experiment):
    settings = experiment.model_dump(mode="json")
    assert config["training"] == settings["training"] and config["workload"] == settings["workload"]
    assert config["seed"] == 0 and config["run_id"] == "toy-run" and config["software"]["torch"]


def check_summary(summary, experiment, rows):
    assert summary["test/mse"] == rows[-1]["test/mse"] and summary["train/loss"] == rows[-1]["train/loss"]
    final = experiment.folder.read_json("final_metrics.json")
    assert summary["best/test/mse"] == final["best_metrics"]["test/mse"]


def check_axes(segment):
    axes = {metric.name: metric.step_metric for metric in segment.metrics}
    assert axes["train/loss"] == axes["train/grad_norm"] == "step"
    assert axes["test/mse"] == axes["baseline/test/mse"] == axes["train/epoch_loss"] == "epoch"
    assert axes["eval/pictures"] == "epoch" and axes["watch/gradients/0.weight"] == "step"
    assert not axes["step"] and not axes["epoch"]
    grammar = re.compile(r"[A-Za-z][A-Za-z0-9_]*(/[A-Za-z0-9][A-Za-z0-9_+.@-]*)*")
    assert all(grammar.fullmatch(name) for name in axes if not name.startswith("watch/"))


def check_media(segment, experiment):
    drawn = {row["_step"]: row["eval/pictures"] for row in segment.rows if "eval/pictures" in row}
    assert sorted(drawn) == [8, 16, 24]
    assert all(value["count"] == 2 and value["captions"] == ["a", "b"] for value in drawn.values())
    assert all(name in segment.files for value in drawn.values() for name in value["filenames"])
    tables = [row["eval/table"] for row in segment.rows if "eval/table" in row]
    assert [table["nrows"] for table in tables] == [1, 2, 3]
    watched = {row["_step"] for row in segment.rows if "watch/gradients/0.weight" in row}
    assert watched == {10, 20}
    assert all("watch/parameters/0.weight" in row for row in segment.rows if row["_step"] in watched)


def check_model(model, experiment):
    aliases = experiment.folder.read_json("models/aliases.json")
    assert aliases["best"] == aliases["latest"] == "step_000000024"
    assert {"latest", "best"} <= set(model.aliases)
    metadata = experiment.folder.read_json("models/step_000000024/metadata.json")
    assert model.metadata["epoch"] == 3 and model.metadata["global_step"] == 24
    assert model.metadata["config"] == metadata["config"] and model.metadata["metrics"] == metadata["metrics"]
    assert sorted(model.paths) == ["manifest.json", "metadata.json", "model.safetensors", "task.pt"]
    assert all(Path(file).exists() for file in model.local_files.values())


@pytest.mark.slow
def test_tracking_changes_nothing_in_the_record(home, tracked, tmp_path):
    with_it = tracked(mode="offline", watch="all", watch_every_steps=1)
    without = tracked(wandb=False, run_name="without")
    for experiment in (with_it, without):
        train(experiment)
    assert with_it.folder.read("metrics.jsonl") == without.folder.read("metrics.jsonl")
    weights = "models/step_000000024/model.safetensors"
    assert with_it.folder.read(weights) == without.folder.read(weights)
    assert not without.folder.exists("wandb")


@pytest.mark.slow
@pytest.mark.parametrize("mode", [pytest.param("offline", marks=pytest.mark.faults), "online"])
def test_a_run_killed_twice_resumes_as_the_same_run(server, tracked, tmp_path, mode):
    kill = tmp_path / "kill"
    experiment = tracked({"workload": {"kill_file": str(kill)}}, mode=mode)
    for step in (7, 13):
        kill.write_text(str(step))
        assert train_apart(experiment, tmp_path / "toy.yaml").returncode == -signal.SIGKILL
    assert train_apart(experiment, tmp_path / "toy.yaml").returncode == 0
    rows = rows_of(experiment)
    assert [row["step"] for row in rows] == list(range(1, 25))
    if mode == "online":
        [run] = server.runs.values()
        assert_same_rows(run.history, rows)
        assert run.exit_code == 0 and run.display_name == "toy-run"
        return
    segments = segments_of(experiment)
    assert len(segments) == 3 and len({segment.run_id for segment in segments}) == 1
    assert_same_rows([row for segment in segments for row in segment.rows], rows)
    assert [segment.exit_code for segment in segments] == [1, 1, 0]
    assert server.requests == []


@pytest.mark.slow
def test_a_mirror_that_is_killed_leaves_no_hole(home, tracked, monkeypatch):
    """W&B's own file of the session that was killed is gone: nobody could say what it holds."""
    experiment = tracked(mode="offline", watch="all", watch_every_steps=10)
    killed = killing_one_process(monkeypatch, experiment)
    train(experiment)
    [segment] = segments_of(experiment)
    assert killed and segment.is_complete and segment.exit_code == 0
    assert_same_rows(segment.rows, rows_of(experiment))
    check_media(segment, experiment)
    [model] = [artifact for artifact in segment.artifacts if artifact.type == "model"][-1:]
    check_model(model, experiment)
    [warning] = warnings_of(experiment)
    assert "was killed (signal 9)" in warning and "goes on offline" in warning


@pytest.mark.slow
def test_an_online_run_arrives_with_artifacts_and_lineage(server, tracked, capsys):
    experiment = tracked(group="series", tags=["a"], notes="words")
    train(experiment)
    run = run_of(server, experiment)
    assert (run.entity, run.project, run.display_name) == ("team", "project", "toy-run")
    assert (run.group, run.notes, run.job_type, sorted(run.tags)) == ("series", "words", "train", ["a", "toy"])
    assert_same_rows(run.history, rows_of(experiment))
    assert run.exit_code == 0 and run.summary["test/mse"] == rows_of(experiment)[-1]["test/mse"]
    versions = server.artifacts["team", "project", f"toy-run-{run.run_id}"]
    assert [version.state for version in versions] == ["COMMITTED"] * len(versions)
    [best] = [version for version in versions if "best" in version.aliases]
    assert {"latest", "step-24", "epoch-3"} <= set(best.aliases) and best.type == "model"
    assert best.files["model.safetensors"] == experiment.folder.read("models/step_000000024/model.safetensors")
    [used] = server.used["team", "project", run.run_id]
    assert server.state.version(used).type == "dataset" and server.state.version(used).name == "toy-64-None"
    out = capsys.readouterr().out
    assert "run toy-run in " in out and f"W&B: {server.url}/team/project/runs/{run.run_id}" in out
    assert not Path(experiment.folder.full("wandb/models")).exists()  # what was sent is not kept twice


@pytest.mark.slow
def test_pictures_and_models_can_be_thinned_out_or_left_out(home, tracked):
    drawn = {"training": {"pictures_every": "4 steps"}}
    thin = tracked(drawn, mode="offline", log_images="2 epochs", log_model="16 steps")
    none = tracked(mode="offline", log_images=False, log_model=False, run_name="none", watch="all", watch_every_steps=8)
    for experiment in (thin, none):
        train(experiment)
    [segment] = segments_of(thin)
    assert [row["_step"] for row in segment.rows if "eval/pictures" in row] == [16]
    assert {artifact.metadata["global_step"] for artifact in segment.artifacts if artifact.type == "model"} <= {16, 24}
    [segment] = segments_of(none)
    assert not any("eval/pictures" in row for row in segment.rows) and segment.artifacts == []
    assert [row["_step"] for row in segment.rows if "watch/gradients/0.weight" in row] == [8, 16, 24]
    assert none.folder.exists("pictures/eval/pictures/step_000000024.png")


@pytest.mark.slow
def test_metrics_hidden_from_trackers_are_not_sent(home, tracked, monkeypatch):
    experiment = tracked(mode="offline")
    axes = {"train/*": None, "test/*": "test/epoch", "*": "epoch"}
    monkeypatch.setattr(type(experiment.workload), "metric_x_axes", axes)
    train(experiment)
    [segment] = segments_of(experiment)
    names = ((row["_step"], name) for row in segment.rows for name in row if "/" in name)
    named = [(step, name) for step, name in names if not name.startswith("system/")]
    assert [step for step, name in named if name == "test/mse"] == [8, 16, 24]
    assert {step for step, _ in named} == {8, 16, 24}
    assert not any(name.startswith("train/") for row in segment.rows for name in row)
    assert {metric.name: metric.step_metric for metric in segment.metrics}["test/mse"] == "test/epoch"


@pytest.mark.slow
@pytest.mark.parametrize(
    "ledger",
    [
        b"{",
        pytest.param(None, marks=pytest.mark.faults),
        pytest.param(b'{"step": 0, "staged_models": {"step_000000024": ["best", "latest"]}}', marks=pytest.mark.faults),
    ],
)
def test_a_lost_damaged_or_older_ledger_costs_only_time(home, tracked, tmp_path, ledger):
    """Sessions that no ledger names are written anew, with their models."""
    experiment = tracked(mode="offline")
    train(experiment)
    [before] = segments_of(experiment)
    file = Path(experiment.folder.full("wandb/ledger.json"))
    assert list(json.loads(file.read_text())["segments"]) == [before.file.parent.name]
    file.unlink()
    if ledger is not None:
        file.write_bytes(ledger)
    for _ in range(2):  # the second time there is nothing to do, but for the end of the session
        with closing(Tracker()) as tracker:
            assert MirrorHandle(tracker, experiment.folder, experiment.tracking, print).finish() == 0
    segments = segments_of(experiment)
    assert before.file.parent.name not in [segment.file.parent.name for segment in segments]
    assert_same_rows([row for segment in segments for row in segment.rows], rows_of(experiment))
    [model] = [artifact for segment in segments for artifact in segment.artifacts if artifact.type == "model"]
    check_model(model, experiment)
