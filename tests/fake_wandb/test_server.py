"""The fake server by plain HTTP: every fault that a test can ask of it."""

import base64
import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, RemoteDisconnected

import pytest

from tests.fake_wandb import FakeWandb
from tests.fake_wandb.conftest import wait_until
from tests.fake_wandb.process import KEY
from tests.fake_wandb.state import Run


def post(server: FakeWandb, operation: str = "Viewer", timeout: float = 10.0) -> int:
    """Status of a query, by plain HTTP."""
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=timeout)
    credentials = base64.b64encode(f"api:{KEY}".encode()).decode()
    body = json.dumps({"query": f"query {operation} {{ viewer {{ id }} }}"})
    try:
        connection.request("POST", "/graphql", body, {"Authorization": f"Basic {credentials}"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_status_faults_are_of_a_class_and_a_number(server: FakeWandb):
    server.fail(500, on="filestream")
    server.fail(429, on="Other", times=1)
    server.fail(403, on="graphql", times=2)
    assert [post(server) for _ in range(3)] == [403, 403, 200]
    assert [post(server, "Other") for _ in range(2)] == [429, 200]
    server.fail(404)
    assert [post(server), post(server)] == [404, 404]
    server.heal()
    assert post(server) == 200


def test_a_hanging_request_is_answered_once_healed(server: FakeWandb):
    server.hang(on="graphql")
    with pytest.raises(TimeoutError):
        post(server, timeout=0.3)
    threading.Timer(0.3, server.heal).start()
    start = time.monotonic()
    assert post(server) == 200
    assert time.monotonic() - start > 0.25


def test_a_slow_request_is_late(server: FakeWandb):
    server.slow(0.4)
    start = time.monotonic()
    assert post(server) == 200
    assert time.monotonic() - start > 0.35


def test_a_refusing_server_comes_back_on_its_port(server: FakeWandb):
    url = server.url
    assert post(server) == 200
    server.refuse()
    with pytest.raises(ConnectionRefusedError):
        post(server)
    server.heal()
    assert server.url == url
    assert post(server) == 200


def test_refusing_cuts_connections_that_are_open(server: FakeWandb):
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=10)
    for _ in range(2):
        connection.request("GET", "/storage/blob/none")
        response = connection.getresponse()
        assert (response.status, response.read()) == (404, b"")
    assert connection.sock is not None
    start = time.monotonic()
    server.refuse()
    assert time.monotonic() - start < 2
    with pytest.raises(OSError):
        connection.request("GET", "/storage/blob/none")
        connection.getresponse()
    connection.close()


def test_lines_are_kept_by_offset():
    run = Run("lab", "digits", "abc")
    for offset, steps in ((0, [0, 1, 2]), (1, [7, 8, 9]), (6, [6])):
        lines = [json.dumps({"_step": step}) for step in steps]
        run.stream({"files": {"wandb-history.jsonl": {"offset": offset, "content": lines}}})
    assert [row and row["_step"] for row in run.history] == [0, 7, 8, 9, None, None, 6]


def test_closing_ends_what_hangs():
    with FakeWandb() as fake:
        fake.hang()
        seen: list[Exception] = []
        client = threading.Thread(target=lambda: seen.append(failure_of(lambda: post(fake))))
        client.start()
        wait_until(lambda: fake.requests)
        start = time.monotonic()
    assert time.monotonic() - start < 2
    client.join(5)
    assert isinstance(seen[0], (RemoteDisconnected, ConnectionResetError))


def failure_of(call: Callable[[], object]) -> Exception:
    try:
        call()
    except OSError as error:
        return error
    raise AssertionError("it did not fail")
