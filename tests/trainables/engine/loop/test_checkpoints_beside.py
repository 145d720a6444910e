"""Checkpoints of the toy workload that are written slowly beside its training."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from data_pipelines.storage.checksums import verify
from data_pipelines.storage.folder_writer import FolderWriter
from ray_jobs.runs.planning import build_plan
from ray_jobs.runs.training import train
from trainables.engine.files import checkpoint_writer
from trainables.engine.files.checkpoints import find_checkpoint, load_checkpoint
from trainables.engine.loop.loop import run_training
from trainables.engine.process.stop_request import request_stop
from trainables.ray_train.worker_main import RunError, run_locally

ROOT = Path(__file__).resolve().parents[4]
KEEPS_ALL = {"keep_checkpoints": 100}
KILL = """
import os, signal, sys
from data_pipelines.storage.folder_writer import FolderWriter
from ray_jobs.cli import main
from tests.toy_workload import TOY
from trainables.engine.files import checkpoint_writer
from trainables.workloads import WORKLOADS

WORKLOADS["toy"] = TOY
checkpoint_writer.MIN_BYTES_BESIDE = 0
write = FolderWriter.write

def kill(self, name, chunks):
    if "step_000000011" in str(self.folder) and name == "state.pt":
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, name, chunks)

FolderWriter.write = kill
main(["train", sys.argv[1]])
"""


@pytest.fixture
def slow_writing(monkeypatch) -> None:
    """Writes small states beside the training too, each file of theirs after a while."""
    write = FolderWriter.write

    def write_late(self, name, chunks):
        time.sleep(0.02)
        write(self, name, chunks)

    monkeypatch.setattr(FolderWriter, "write", write_late)
    monkeypatch.setattr(checkpoint_writer, "MIN_BYTES_BESIDE", 0)


def collect_reports(experiment, on_report=lambda report: None) -> list:
    reports = []
    experiment.folder.make()

    def report(content) -> None:
        reports.append(content)
        on_report(content)

    run_locally(build_plan(experiment), run_training, report)
    return reports


@pytest.mark.slow
def test_each_checkpoint_is_that_of_its_step(toy, monkeypatch, slow_writing):
    beside = toy(training={**KEEPS_ALL, "log_every_steps": 1}, tracking={"run_name": "beside"})
    reports = collect_reports(beside)
    monkeypatch.undo()
    reference = toy(training={**KEEPS_ALL, "log_every_steps": 1}, tracking={"run_name": "reference"})
    expected = collect_reports(reference)
    assert [report["rows"] for report in reports] == [report["rows"] for report in expected]
    assert beside.folder.names("checkpoints") == reference.folder.names("checkpoints")
    for name in reference.folder.names("checkpoints"):
        for file in ("model.safetensors", "ema.safetensors", "state.safetensors", "history.jsonl.gz"):
            path = f"checkpoints/{name}/{file}"
            assert beside.folder.read(path) == reference.folder.read(path), path
    positions = [
        load_checkpoint(beside.folder, f"checkpoints/{name}").state["position"]["step"]
        for name in beside.folder.names("checkpoints")
    ]
    assert [f"step_{step:09d}" for step in positions] == beside.folder.names("checkpoints")


@pytest.mark.slow
def test_a_checkpoint_is_reported_only_when_it_is_sealed(toy, slow_writing):
    experiment, lags = toy(training={**KEEPS_ALL, "log_every_steps": 1}), []

    def check(report) -> None:
        if "checkpoint" in report:
            assert verify(Path(experiment.folder.full(report["checkpoint"]))) is None
            lags.append(report["step"] - int(report["checkpoint"][-9:]))

    reports = collect_reports(experiment, check)
    assert max(lags) > 0
    assert reports[-1]["checkpoint"] == "checkpoints/step_000000024"
    assert sum("waits until the one before" in line for report in reports for line in report["messages"]) == 1


@pytest.mark.slow
def test_a_small_state_goes_with_the_report_of_its_step(toy):
    reports = collect_reports(toy(training=KEEPS_ALL))
    saved = [report for report in reports if "checkpoint" in report]
    assert len(saved) > 5 and all(report["step"] == int(report["checkpoint"][-9:]) for report in saved)


@pytest.mark.slow
def test_no_memory_is_reserved_after_a_checkpoint(toy, monkeypatch):
    monkeypatch.setattr(checkpoint_writer.CheckpointWriter, "reserve", lambda *arguments: pytest.fail("it is there"))
    collect_reports(toy(training={"evaluate_every": "4 steps"}))


@pytest.mark.slow
def test_a_stop_waits_for_its_checkpoint(toy, slow_writing):
    experiment = toy(training={"log_every_steps": 1})

    def stop(report) -> None:
        if report["step"] == 9:
            request_stop(experiment.folder, "test")

    last = collect_reports(experiment, stop)[-1]
    assert (last["stopped_by"], last["step"], last["checkpoint"]) == ("test", 10, "checkpoints/step_000000010")
    assert find_checkpoint(experiment.folder) == ("checkpoints/step_000000010", [])


@pytest.mark.slow
def test_a_failure_waits_for_the_checkpoint_before_it(toy, tmp_path, slow_writing):
    (tmp_path / "kill").write_text("10 ERROR")
    experiment = toy(workload={"kill_file": str(tmp_path / "kill")})
    with pytest.raises(RunError, match="one worker fails alone"):
        train(experiment)
    assert find_checkpoint(experiment.folder) == ("checkpoints/step_000000008", [])
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.slow
def test_a_kill_in_the_middle_of_the_writing_loses_that_one(toy, tmp_path):
    reference, killed = toy(tracking={"run_name": "reference"}), toy(tracking={"run_name": "killed"})
    train(reference)
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(killed.model_dump(mode="json")))
    command = [sys.executable, "-c", KILL, str(file)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert find_checkpoint(killed.folder) == ("checkpoints/step_000000008", [])
    assert list(Path(killed.folder.path).rglob(".tmp-*"))
    train(killed)
    assert "resumed from" in killed.folder.read("train.log").decode()
    for name in ("metrics.jsonl", *(f"checkpoints/step_000000024/{file}.safetensors" for file in ("ema", "state"))):
        assert killed.folder.read(name) == reference.folder.read(name), name
    assert not list(Path(killed.folder.path).rglob(".tmp-*"))
