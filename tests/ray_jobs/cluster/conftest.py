"""Fixtures of the tests of secrets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ray_jobs.cluster.secret_scan import find_secrets


@pytest.fixture
def no_own_secrets(tmp_path_factory, monkeypatch) -> None:
    """A user who has no secrets of their own."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)


@pytest.fixture
def scan(no_own_secrets) -> Callable[..., list[str]]:
    """Search of one file that is written into a folder."""

    def scan(folder: Path, content: bytes | str, name: str = "a.txt") -> list[str]:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(find_secrets(folder, [name]))

    return scan
