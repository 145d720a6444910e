"""What goes to this machine itself goes through no proxy."""

import os
import urllib.request

import pytest

from ray_jobs.cluster.loopback import bypass_proxy, is_loopback
from ray_jobs.cluster.ray_job_client import resolve_token


@pytest.fixture(autouse=True)
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request would go to a proxy that is not there."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")


def test_loopback_is_known_by_every_address_of_it() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.9.1", "::1")))
    assert not any(map(is_loopback, ("10.0.0.1", "example.org", "", None)))


def test_only_loopback_is_excepted_from_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.org")
    bypass_proxy("127.0.0.7")
    assert os.environ["no_proxy"] == "example.org,127.0.0.1,localhost,::1,127.0.0.7"
    assert all(map(urllib.request.proxy_bypass, ("127.0.0.1:8265", "localhost", "127.0.0.7", "example.org")))
    assert not urllib.request.proxy_bypass("10.0.0.1")


def test_no_proxy_for_all_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    bypass_proxy()
    assert os.environ["no_proxy"] == "*"


def test_a_cluster_on_loopback_answers_beside_a_proxy() -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert resolve_token(f"http://127.0.0.1:{server.server_port}") is None
        server.shutdown()
