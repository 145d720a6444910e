"""Signals to a training: what is saved, what the command returns, and that nothing is lost."""

import os
import signal
import threading

import pytest
import yaml

from data_pipelines.storage.folder import Folder
from ray_jobs.cli import main
from ray_jobs.exit_codes import DONE, INTERRUPTED, STOPPED, TERMINATED
from ray_jobs.runs.stop_signals import stopping_on_signals
from ray_jobs.runs.training import train
from trainables.engine.process.stop_request import find_request, request_stop

pytestmark = pytest.mark.slow

FILES = ("metrics.jsonl", "models/step_000000024/model.safetensors", "checkpoints/step_000000024/ema.safetensors")


@pytest.fixture
def signalled(toy, tmp_path, capfd):
    """Trains, and sends signals to this process after a step; returns exit code, standard error and folder."""
    file, kill_file = tmp_path / "experiment.yaml", tmp_path / "kill"
    experiment = toy(
        workload={"kill_file": str(kill_file)},
        training={"checkpoint_every_steps": None},
        tracking={"run_name": "signalled"},
    )
    file.write_text(yaml.safe_dump(experiment.model_dump(mode="json")))

    def run(signals: str) -> tuple[int, str, Folder]:
        kill_file.write_text(signals)
        try:
            code = main(["train", str(file)])
        except SystemExit as ending:
            code = ending.code
        assert isinstance(code, int)
        return code, capfd.readouterr().err, experiment.folder

    return run


def test_the_first_signal_saves_a_checkpoint_to_resume_from(toy, signalled):
    """At the report after the signal: steps 11 and 19 are reports, and without a signal no checkpoints."""
    reference = toy(training={"checkpoint_every_steps": None}, tracking={"run_name": "reference"})
    train(reference)
    for name, step, code in (("SIGTERM", 11, TERMINATED), ("SIGINT", 19, STOPPED)):
        ended, words, folder = signalled(f"{step - 1} {name}")
        assert ended == code
        assert f"{name}: saving a checkpoint" in words
        assert f"error: stopped by {name} after step {step}, with a checkpoint; the same command goes on" in words
        assert folder.names("checkpoints")[-1] == f"step_{step:09d}"
        assert not folder.exists(".lock") and not folder.exists("stop.json")
    ended, _, folder = signalled("none")
    assert ended == DONE
    assert f"resumed from {folder}/checkpoints/step_000000019" in folder.read("train.log").decode()
    for file in FILES:
        assert folder.read(file) == reference.folder.read(file), file


@pytest.mark.parametrize(("second", "code"), [("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED)])
def test_the_second_signal_ends_the_run_at_its_last_checkpoint(signalled, second, code):
    ended, _, folder = signalled(f"10 SIGINT {second}")
    assert ended == code
    assert folder.names("checkpoints") == ["step_000000008"]
    assert not folder.exists(".lock") and not folder.exists("stop.json")


def test_handlers_are_put_back_and_old_requests_are_withdrawn(tmp_path):
    folder = Folder(str(tmp_path))
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    request_stop(folder, "an earlier start")
    with stopping_on_signals(folder) as signals:
        assert find_request(folder) is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert find_request(folder) == "SIGTERM" and signals.received == signal.SIGTERM
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert find_request(folder) is None


def test_a_run_in_another_thread_receives_no_signal(tmp_path):
    heard, before = [], signal.getsignal(signal.SIGTERM)

    def run() -> None:
        with stopping_on_signals(Folder(str(tmp_path))):
            heard.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert heard == [before]


def test_a_closed_terminal_asks_for_a_checkpoint(tmp_path):
    folder = Folder(str(tmp_path))
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with stopping_on_signals(folder) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert find_request(folder) == "SIGHUP" and signals.received == signal.SIGHUP
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU])
def test_a_signal_of_a_batch_system_asks_for_a_checkpoint(tmp_path, number):
    folder = Folder(str(tmp_path))
    with stopping_on_signals(folder) as signals:
        os.kill(os.getpid(), number)
        assert find_request(folder) == number.name and signals.received == number


def test_nohup_is_respected(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_on_signals(Folder(str(tmp_path))) as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGHUP, before)
