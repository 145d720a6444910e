"""RAY_ADDRESS as users have it: empty, dead, malformed."""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from ray_jobs.cluster import connection
from ray_jobs.cluster.ray_token import use_token


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What Ray is started with, without Ray."""
    import ray

    calls: list[dict] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **arguments: calls.append(arguments))
    monkeypatch.setattr(connection, "_quieten", lambda: None)
    monkeypatch.delenv(connection.IS_JOB, raising=False)
    monkeypatch.setattr(connection, "use_token", lambda: None)  # which would ask these addresses by Ray's own command
    return calls


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_address_counts_as_unset(started: list[dict], monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", empty)
    connection.connect()
    assert started[0]["address"] == "local"


def test_a_dead_address_is_refused_within_seconds(started: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        began = time.monotonic()
        with pytest.raises(ValueError, match=rf"^RAY_ADDRESS={address}: no cluster answers there .*unset it to train"):
            connection.connect()
    assert time.monotonic() - began < connection.CONNECT_TIMEOUT_S and started == []


@pytest.mark.parametrize("address", ["nonsense", "host:", "host:port", ":6379", "1.2.3.4:99999"])
def test_a_malformed_address_is_named(started: list[dict], monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ValueError, match=f"^RAY_ADDRESS={address}: this is no address .*unset it to train here"):
        connection.connect()
    assert started == []


def test_an_address_that_answers_is_left_to_ray(started: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as address:  # the settings with which gRPC greets
        monkeypatch.setenv("RAY_ADDRESS", address)
        connection.connect()
    assert started[0]["address"] is None


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_what_answers_and_is_no_cluster_is_refused(
    started: list[dict], monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with serving(answer) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ValueError, match=rf"^RAY_ADDRESS={address}: what answers there is no cluster of Ray"):
            connection.connect()
    assert started == []


@contextmanager
def serving(answer: bytes) -> Iterator[str]:
    """A server that takes one connection, answers it, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.recv(100)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def test_a_cluster_that_ray_does_not_find_is_bad_input(started: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def fail(**arguments: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", fail)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ValueError, match=r"^RAY_ADDRESS=auto: no cluster was found there; start one; or unset"):
        connection.connect()


def test_a_cluster_that_refuses_is_told_to_want_its_token(started, monkeypatch):
    import ray

    def fail(**arguments: object) -> None:
        raise ConnectionError("Failed to connect to GCS.")

    monkeypatch.setattr(ray, "init", fail)
    with serving(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ValueError, match=rf"^RAY_ADDRESS={address}: .*`ray get-auth-token`.* or unset it"):
            connection.connect()


@pytest.mark.parametrize(
    ("token", "mode", "is_open", "shown"),
    [
        ("abc", "", False, "token"),
        ("abc", "", True, "disabled"),
        ("", "", True, ""),
        ("abc", "disabled", False, "disabled"),
        ("abc", "token", True, "token"),
    ],
)
def test_a_token_is_shown_to_a_cluster_that_asks_for_it(monkeypatch, tmp_path, token, mode, is_open, shown):
    for name, value in {"": str(tmp_path), "_TOKEN": token, "_TOKEN_PATH": "", "_MODE": mode}.items():
        monkeypatch.setenv(f"RAY_AUTH{name}" if name else "HOME", value)
    asked: list[list[str]] = []

    def answer(command: list[str], **options: Any) -> SimpleNamespace:
        assert options["env"]["RAY_AUTH_MODE"] == "disabled"
        asked.append(command)
        return SimpleNamespace(returncode=0 if is_open else 1)

    monkeypatch.setattr(subprocess, "run", answer)
    use_token()
    assert os.environ["RAY_AUTH_MODE"] == shown
    assert [command[-1] for command in asked] == (["status"] if token and not mode else [])
