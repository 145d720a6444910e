"""Which cluster is meant, and whether it lets us in; against a small server that asks for a token as Ray's does."""

import itertools
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from ray_jobs.cluster import ray_job_client
from ray_jobs.cluster.ray_job_client import JobClient, JobError, find_address, resolve_token
from ray_jobs.cluster.ray_token import find_token

TOKEN = "the-right-token"


@pytest.fixture
def no_token(monkeypatch, tmp_path):
    """A machine without any."""
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE", *ray_job_client.ADDRESS_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def dashboard(no_token):
    """Builds servers that ask for TOKEN, or for none, or are something else; they keep the headers that came."""
    servers = []

    def build(*, token: str | None = TOKEN, status: int = 200) -> tuple[str, list[str | None]]:
        seen: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization")
                seen.append(given)
                is_let_in = token is None or given == f"Bearer {token}"
                self.send_response(status if is_let_in else 403 if given else 401)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", seen

    yield build
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_token_is_found_in_rays_order(no_token, monkeypatch):
    assert find_token() is None
    default = no_token / ".ray/auth_token"
    default.parent.mkdir()
    default.write_text("third\n")
    assert find_token() == ("third", str(default))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(no_token / "file"))
    with pytest.raises(ValueError, match=r"RAY_AUTH_TOKEN_PATH=.* is no file with a token"):
        find_token()
    (no_token / "file").write_text("second")
    assert find_token() == ("second", str(no_token / "file"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "first")
    assert find_token() == ("first", "RAY_AUTH_TOKEN")


def test_the_right_token_is_sent_only_after_it_was_asked_for(dashboard, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    address, seen = dashboard()
    assert resolve_token(address) == TOKEN and seen == [None, f"Bearer {TOKEN}"]
    address, seen = dashboard(token=None)
    assert resolve_token(address) is None and seen == [None]


def test_a_missing_and_a_wrong_token_differ_and_none_is_shown(dashboard, monkeypatch):
    address, _ = dashboard()
    with pytest.raises(ValueError, match=f"{address} asks for a token, and there is none here; .*RAY_AUTH_TOKEN_PATH"):
        resolve_token(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong-token")
    with pytest.raises(ValueError, match=f"{address} refuses the token from RAY_AUTH_TOKEN") as caught:
        resolve_token(address)
    assert "wrong-token" not in str(caught.value)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(ValueError, match="RAY_AUTH_MODE=disabled forbids"):
        resolve_token(address)


def test_no_cluster_and_another_server_are_named(dashboard):
    with pytest.raises(ValueError, match=r"no Ray cluster answers at http://127\.0\.0\.1:1 .*--address"):
        resolve_token("http://127.0.0.1:1")
    address, _ = dashboard(token=None, status=404)
    with pytest.raises(ValueError, match="is no Ray dashboard: it answers 404"):
        resolve_token(address)


def test_a_cluster_beyond_this_machine_is_warned_about(no_token, monkeypatch, capsys):
    monkeypatch.setattr(ray_job_client, "_refuses", lambda address, token: token is None)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    resolve_token("http://head.example:8265")
    assert "the token goes to http://head.example:8265 unencrypted" in capsys.readouterr().err
    resolve_token("https://head.example")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(ray_job_client, "_refuses", lambda address, token: False)
    resolve_token("https://head.example")
    assert "asks for no token" in capsys.readouterr().err


def test_the_given_address_is_stronger_than_the_environments(no_token, monkeypatch):
    assert find_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # where drivers connect; takes no jobs
    assert find_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://other:8265")
    assert find_address(None) == "http://other:8265"
    assert find_address("https://given/") == "https://given"


@pytest.mark.parametrize("address", ["host:8265", "ray://host:10001", "http://"])
def test_an_address_that_takes_no_jobs_is_refused(no_token, address):
    with pytest.raises(ValueError, match="must be that of the cluster's dashboard"):
        find_address(address)


def test_credentials_in_an_address_are_refused_and_not_shown(no_token):
    with pytest.raises(ValueError, match="credentials do not belong") as caught:
        find_address("http://user:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "driver", "code"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 1, 1),
        ("FAILED", 2, 2),
        ("FAILED", 3, 3),
        ("FAILED", -9, 137),
        ("STOPPED", None, 3),
    ],
)
def test_the_exit_code_is_the_jobs_own(status, driver, code):
    info = SimpleNamespace(status=status, driver_exit_code=driver, message="")
    assert ray_job_client._exit_code(info) == code


def test_a_job_that_did_not_start_says_why(capsys):
    info = SimpleNamespace(status="FAILED", driver_exit_code=None, message="no space for the package")
    assert ray_job_client._exit_code(info) == 1
    assert capsys.readouterr().err == "no space for the package\n"


def test_the_log_resumes_where_the_connection_was_lost(monkeypatch, capsys):
    """And a cluster that stays away is given up after a while, not at once and not never."""
    client = object.__new__(JobClient)
    client.address = "http://head:8265"
    breaks = itertools.chain([3, 7, None], itertools.repeat(0))

    async def tail(job):
        end = next(breaks)
        for letter in "one two three"[:end]:
            yield letter
        if end is not None:
            raise RuntimeError("closed")

    done = SimpleNamespace(status=JobStatus.FAILED, driver_exit_code=3, message="")
    rays: Any = SimpleNamespace(tail_job_logs=tail, get_job_info=lambda job: done)
    client._client = rays
    monkeypatch.setattr(ray_job_client.time, "sleep", lambda seconds: None)
    assert client.follow("job") == 3
    assert capsys.readouterr().out == "one two three"
    monkeypatch.setattr(ray_job_client, "PATIENCE_S", 0.01)
    with pytest.raises(JobError, match="http://head:8265 does not answer any more"):
        client.follow("job")


@pytest.mark.parametrize(("num_refusals", "asked"), [(2, 3), (100, 1)])
def test_a_late_job_agent_is_awaited_and_a_missing_one_explained(monkeypatch, num_refusals, asked):
    client = object.__new__(JobClient)
    client.address = "http://head:8265"
    refusals = [
        RuntimeError("status code 500: No available agent to submit job, please try again later.")
    ] * num_refusals
    calls: list[str] = []

    def submit_job(*, submission_id: str, **other: Any) -> None:
        calls.append(submission_id)
        if refusals:
            raise refusals.pop()

    rays: Any = SimpleNamespace(submit_job=submit_job)
    client._client = rays
    monkeypatch.setattr(ray_job_client.time, "sleep", lambda seconds: None)
    if asked == 3:
        client.submit("true", Path("package.zip"), {}, "job")
    else:
        monkeypatch.setattr(ray_job_client, "AGENT_PATIENCE_S", 0.0)
        with pytest.raises(JobError, match=r"start this one with a --dashboard-agent-listen-port of its own"):
            client.submit("true", Path("package.zip"), {}, "job")
    assert calls == ["job"] * asked
