"""Nothing secret is written anywhere."""

import os
import subprocess
from pathlib import Path

import pytest

from ray_jobs.runs.training import train
from ray_jobs.tracking.mirror_handle import MirrorHandle
from tests.fake_wandb.process import KEY
from tests.ray_jobs.tracking.conftest import run_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def find(folder: Path, secret: str) -> list[Path]:
    """Files that hold the secret, as text or inside anything else."""
    return [file for file in folder.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]


@pytest.mark.parametrize("mode", ["online", "offline", "online, refused"])
def test_the_key_is_in_no_file_of_the_run_and_no_upload(server, tracked, home, mode):
    if "refused" in mode:
        server.fail(401)
    experiment = tracked(mode=mode.partition(",")[0], tags=["a"], notes="words")
    train(experiment)
    assert find(Path(experiment.folder.path), KEY) == [] and find(home, KEY) == []
    if mode != "online":
        return
    run = run_of(server, experiment)
    sent = [repr(run.config), repr(run.summary), repr(run.history), *map(repr, run.files.values())]
    sent += [repr(version.files) + repr(version.metadata) for many in server.artifacts.values() for version in many]
    assert sent and not any(KEY in text for text in sent)


def test_the_key_is_on_no_command_line(server, tracked, monkeypatch):
    seen: list[str] = []
    notify = MirrorHandle.notify

    def look(self: MirrorHandle) -> None:
        pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
        for pid in pids:
            try:
                seen.append(Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue  # it has ended
        notify(self)

    monkeypatch.setattr(MirrorHandle, "notify", look)
    train(tracked())
    assert any("process_main" in line for line in seen)
    assert not any(KEY in line for line in seen)


def test_the_key_s_variable_has_no_setting(tracked):
    with pytest.raises(ValueError, match="there is no such setting"):
        tracked(api_key=KEY)


def test_a_git_remote_with_credentials_is_not_recorded(server, tracked, tmp_path, monkeypatch):
    """The run is started in a checkout whose remote has a password in its URL."""
    secret = "hunter2-and-more"
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for command in (["init", "-q"], ["remote", "add", "origin", f"https://me:{secret}@example.com/x.git"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    monkeypatch.chdir(checkout)
    experiment = tracked()
    train(experiment)
    assert find(Path(experiment.folder.path), secret) == []
    run = run_of(server, experiment)
    assert secret not in repr(run.config) + repr(list(run.files.values()))
