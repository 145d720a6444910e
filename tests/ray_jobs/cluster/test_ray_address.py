"""RAY_ADDRESS as users have it: empty, dead, malformed."""

import socket
import time

import pytest

from ray_jobs.cluster import connection


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What Ray is started with, without Ray."""
    import ray

    calls: list[dict] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **arguments: calls.append(arguments))
    monkeypatch.setattr(connection, "_quieten", lambda: None)
    monkeypatch.setattr(connection, "silence_workers", lambda: None)
    monkeypatch.delenv(connection.IS_JOB, raising=False)
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
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        connection.connect()
    assert started[0]["address"] is None
