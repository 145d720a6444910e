"""What a run was made with: enough to make it again, and no secret."""

import gzip
import sys
from pathlib import Path

import pytest

from ray_jobs.run_folder.environment import describe_environment, describe_software, installed_packages
from ray_jobs.runs.training import train

SECRETS = {
    "WANDB_API_KEY": "wandbkey-4711-secret",
    "AWS_SECRET_ACCESS_KEY": "awskey-4712-secret",
    "HF_TOKEN": "hftoken-4713-secret",
    "MY_PASSWORD": "word-4714-secret",
}


def contents(folder: Path):
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            yield file, gzip.decompress(content) if file.suffix == ".gz" else content


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_no_secret_of_the_environment_is_in_a_file_of_a_run(toy, tmp_path, monkeypatch, capfd, fails):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    experiment = toy(workload={"nan_at_row": 3 if fails else None})
    if fails:
        with pytest.raises(RuntimeError):
            train(experiment)
    else:
        train(experiment)
    found = list(contents(tmp_path))
    assert {"environment.json", "metrics.jsonl", "train.log", "state.pt"} <= {file.name for file, _ in found} | (
        {"state.pt"} if fails else set()
    )
    captured = capfd.readouterr()
    for value in SECRETS.values():
        assert [file for file, content in found if value.encode() in content] == []
        assert value not in captured.out + captured.err


def test_the_environment_tells_how_to_make_the_run_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["somewhere/__main__.py", "train", "my file.yaml", "--set", "seed=3"])
    described = describe_environment(3)
    assert described["command"] == "python -m ray_jobs train 'my file.yaml' --set seed=3"
    assert described["seed"] == 3
    assert described["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "numpy", "pydantic"} <= described["packages"].keys()


def test_secrets_on_the_command_line_are_not_recorded(monkeypatch):
    key = "0123456789abcdef" * 2 + "89abcdef"
    monkeypatch.setenv("WANDB_API_KEY", key)
    words = [
        "train",
        "a.yaml",
        "--set",
        f"tracking.notes={key}",
        "--set",
        "tracking.notes=https://me:s3cr3tw0rd@host/x",
    ]
    monkeypatch.setattr(sys, "argv", ["quintet", *words])
    hidden = "--set 'tracking.notes=***'"
    assert describe_environment(0)["command"] == f"python -m ray_jobs train a.yaml {hidden} {hidden}"


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    described = describe_environment(0)
    assert described["git_commit"] is None and not described["git_is_clean"]


def test_a_half_removed_package_is_left_out(monkeypatch, tmp_path):
    (tmp_path / "leftover-1.0.dist-info").mkdir()
    bad = tmp_path / "bad-1.dist-info"
    bad.mkdir()
    (bad / "METADATA").write_bytes(b"Metadata-Version: 2.1\nName: caf\xe9\nVersion: 1\n")
    before = installed_packages()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_packages() == before
    assert describe_software()["torch"] == before["torch"]


def test_of_two_packages_of_a_name_the_imported_one_counts(monkeypatch, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "twice-1.dist-info").mkdir(parents=True)
        (tmp_path / folder / "twice-1.dist-info/METADATA").write_text(f"Name: Twice\nVersion: 1+{folder}\n")
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    assert installed_packages()["Twice"] == "1+b"
