"""What a job's package holds, and what is refused before anything is sent."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from ray_jobs.cluster import working_dir_package
from ray_jobs.cluster.working_dir_package import list_package, write_package

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path):
    """A small project, with what must not be sent beside it."""
    for name in (
        "code/a.py",
        "b.yaml",
        ".git/config",
        ".venv/x.py",
        "out/run.bin",
        "code/__pycache__/a.pyc",
        "big.npy",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / ".rayignore").write_text("*.npy\n")
    (tmp_path / "c.log").write_text("x")
    return tmp_path


def test_the_package_leaves_out_git_environments_and_results(folder, tmp_path):
    names = [".gitignore", ".rayignore", "b.yaml", "code/a.py"]
    assert list_package(folder) == names
    target = tmp_path / "out/working_dir_package.zip"
    write_package(folder, names, target)
    with zipfile.ZipFile(target) as packed:
        assert packed.namelist() == names and packed.read("code/a.py") == b"x"


def test_ignore_files_in_folders_count_from_there_down(folder):
    for name in ("code/deep/keep.csv", "code/deep/drop.csv", "code/b.csv", "logs/x.txt", "code/logs/y.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / ".gitignore").write_text("/logs/\n")
    (folder / "code/.gitignore").write_text("*.csv\n!keep.csv\n")
    (folder / "code/deep/.rayignore").write_text("/nothing\n")
    names = list_package(folder)
    assert {"code/deep/keep.csv", "code/logs/y.txt"} <= set(names)
    assert not {"code/deep/drop.csv", "code/b.csv", "logs/x.txt"} & set(names)


def test_a_folder_that_cannot_be_read_is_not_passed_over(folder, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "code":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=r"/code cannot be read \(Permission denied\), and would be left out; leave"):
        list_package(folder)
    (folder / ".rayignore").write_text("code/\n")
    assert "b.yaml" in list_package(folder)


def test_a_checkout_whose_git_is_a_file_sends_none_of_it(folder):
    subprocess.run(["rm", "-r", str(folder / ".git")], check=True)
    (folder / ".git").write_text("gitdir: elsewhere")
    assert ".git" not in list_package(folder)


def test_an_unchanged_folder_is_packed_to_the_same_bytes(folder, tmp_path):
    files, targets = list_package(folder), [tmp_path / "out/1.zip", tmp_path / "out/2.zip"]
    for index, target in enumerate(targets):
        os.utime(folder / "b.yaml", (1e9 + index, 1e9 + index))
        write_package(folder, files, target)
    assert targets[0].read_bytes() == targets[1].read_bytes()


def test_too_many_files_or_bytes_are_refused_with_the_biggest(folder, monkeypatch):
    monkeypatch.setattr(working_dir_package, "MAX_FILES", 10)
    for index in range(12):
        (folder / f"code/{index}.txt").write_text("x")
    with pytest.raises(
        ValueError, match=r"(?s)package of 16 files .* at most 10 .*\.rayignore.*\n  code/: 13 files\n  \./: 3 files"
    ):
        list_package(folder)
    monkeypatch.setattr(working_dir_package, "MAX_FILES", 100)
    monkeypatch.setattr(working_dir_package, "MAX_BYTES", 2**20)
    (folder / "code/weights.bin").write_bytes(bytes(2**21))
    with pytest.raises(ValueError, match=r"(?s)2\.0 MiB, and at most 100 and 1 MiB.*\n  code/weights\.bin: 2\.0 MiB"):
        list_package(folder)


SECRETS = {
    "deploy/.env": "x",
    "id_ed25519": "x",
    "server.pem": "x",
    "code/b.py": "-----BEGIN RSA PRIVATE" + " KEY-----",
    "code/c.py": "key = 'AKIA" + "ABCDEFGH12345678'",
    "notes.txt": "export WANDB_API_KEY=" + "0123456789abcdef" * 2 + "01234567",
    "d.yaml": "token: a-value-of-the-environment",
}


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_refused_by_the_file_and_not_shown(folder, monkeypatch, name):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-value-of-the-environment")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(SECRETS[name])
    with pytest.raises(
        ValueError, match=rf"secrets would go to the cluster.*\n  {name}(, line 1: holds|: such files)"
    ) as caught:
        list_package(folder)
    assert SECRETS[name] == "x" or SECRETS[name] not in str(caught.value)
    with (folder / ".rayignore").open("a") as stream:
        stream.write(f"{name}\n")
    assert name not in list_package(folder)


def test_twenty_secrets_are_named_and_the_others_counted(folder):
    (folder / "start.sh").write_text(f"wandb login {'0123456789abcdef' * 2}01234567\n" * 1_022)
    with pytest.raises(ValueError) as caught:
        list_package(folder)
    assert str(caught.value).splitlines() == [
        "secrets would go to the cluster; delete them, or leave out what the job does not need by lines in .rayignore "
        "(written like .gitignore)",
        *(f"  start.sh, line {line}: holds a key of W&B" for line in range(1, 21)),
        "  and 1,002 more",
    ]


def test_a_link_to_a_folder_above_is_refused(folder):
    (folder / "code/loop").symlink_to(folder)
    with pytest.raises(ValueError, match="code/loop links to a folder that it lies in"):
        list_package(folder)


def test_a_linked_folder_is_sent_as_its_files(folder):
    (folder / "same").symlink_to(folder / "code")
    assert "same/a.py" in list_package(folder)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "data.txt"
    elsewhere.write_text("x")
    (folder / "code/link.txt").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"links out of .*: code/link\.txt"):
        list_package(folder)


def test_this_project_is_a_small_package():
    files = list_package(ROOT)
    assert sum((ROOT / name).stat().st_size for name in files) < 5 * 2**20
    assert "ray_jobs/cluster/submit_job.py" in files and "ray_jobs/experiments/demo/flow_matching.yaml" in files
    assert not [name for name in files if name.startswith(("tests/", "benchmarks/", ".git/"))]


def test_what_is_no_file_is_left_out_and_said(folder, capsys):
    before = list_package(folder)
    (folder / "code/.#a.py").symlink_to("me@host.1234")  # as Emacs marks a file that is being written
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    assert list_package(folder) == before
    assert (
        "not sent, as they are links to nowhere, pipes or sockets: code/.#a.py, loop, pipe" in capsys.readouterr().err
    )


def test_a_name_that_is_no_utf8_is_refused(folder):
    (folder / "caf\udce9.txt").write_text("x")
    with pytest.raises(ValueError, match=r"names in UTF-8 alone, and these are none: caf\\xe9\.txt; leave out"):
        list_package(folder)
    (folder / ".rayignore").write_bytes(b"*.npy\ncaf\xe9.txt\n")
    assert "b.yaml" in list_package(folder)
