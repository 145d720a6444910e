"""Which files and which parts of a file are searched for secrets; keys are made up while the tests run."""

import io
import json
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ray_jobs.cluster.secret_scan import BLOCK_BYTES, find_secrets

ROOT = Path(__file__).resolve().parents[3]
HEX = "0123456789abcdef" * 2 + "01234567"
NEW = "wandb_" + "v1_" + "A1b2C3d4E5" * 7 + "f6G7h8J"


@pytest.mark.parametrize(
    "name", [".netrc", "_netrc", ".env", ".ENV.local", "id_rsa", "kaggle.json", ".pypirc", "a.pem"]
)
def test_files_that_hold_secrets_are_known_by_their_name(scan, tmp_path, name):
    assert scan(tmp_path, "x", name) == [f"{name}: such files hold secrets"]


def test_the_users_own_secrets_are_found_as_they_are(scan, tmp_path, monkeypatch):
    password, key = "correct-horse", "a-key-that-has-no-form"
    (tmp_path / "own").write_text(f"machine host.org\n login me\n password {password}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "own"))
    monkeypatch.setenv("WANDB_API_KEY", key)
    text = f"a\nb {password}\nc\n'{key}'"
    answer = [
        "a.txt, line 2: holds a password of your netrc file",
        "a.txt, line 4: holds the value of WANDB_API_KEY",
    ]
    assert scan(tmp_path, text) == answer and scan(tmp_path, text.encode("utf-16")) == answer


@pytest.mark.parametrize("before", [0, BLOCK_BYTES - 60, BLOCK_BYTES - 20, BLOCK_BYTES, 3 * BLOCK_BYTES + 5])
@pytest.mark.parametrize("fill", [b"a line\n", b"no line "])
def test_a_big_file_is_searched_to_its_end(scan, tmp_path, before, fill):
    start = (fill * (before // len(fill) + 1))[:before]
    (found,) = scan(tmp_path, start + f" WANDB_API_KEY={HEX} ".encode() + fill * 10)
    assert found == f"a.txt, line {start.count(10) + 1:,}: holds a key of W&B"


def binaries() -> Iterator[bytes]:
    random = np.random.default_rng(0)
    for array in (
        random.normal(size=10**6),
        random.integers(0, 9, 10**6),
        random.integers(0, 255, 4 * 10**6, np.uint8),
    ):
        np.save(stream := io.BytesIO(), array)
        yield stream.getvalue()
    for kind in ("PNG", "JPEG"):
        Image.fromarray(random.integers(0, 255, (500, 500, 3), np.uint8)).save(stream := io.BytesIO(), kind)
        yield stream.getvalue()
        yield json.dumps({"image/png": b64encode(stream.getvalue()).decode()}).encode()  # as in a notebook


def test_binary_files_give_no_alarm_and_are_quick(scan, tmp_path):
    start = time.perf_counter()
    assert [found for content in binaries() for found in scan(tmp_path, content)] == []
    assert time.perf_counter() - start < 20


def test_a_key_in_a_binary_file_is_found(scan, tmp_path):
    assert scan(tmp_path, bytes(range(256)) + NEW.encode() + bytes(range(256)), "a.bin")[0].endswith("a key of W&B")


@pytest.mark.usefixtures("no_own_secrets")
def test_the_files_of_this_project_hold_no_secrets():
    files = [str(file) for folder in ("ray_jobs", "docs", "examples") for file in (ROOT / folder).rglob("*.*")]
    files += [
        "requirements.lock",
        "pyproject.toml",
        "Dockerfile",
        __file__,
        str(Path(__file__).with_name("test_secret_patterns.py")),
    ]
    assert list(find_secrets(ROOT, [file for file in files if "__pycache__" not in file])) == []
