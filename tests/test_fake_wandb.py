"""Real wandb clients against the fake server: what arrives, what is resumed and synced, and every fault."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path

import pytest

from tests.fake_wandb import FakeWandb
from tests.fake_wandb.process import KEY, run_script, sync, wandb_environment
from tests.fake_wandb.state import Run

pytestmark = pytest.mark.slow

INIT = """
import os, signal, sys, wandb

settings = wandb.Settings(
    x_disable_stats=True, init_timeout=10, finish_timeout=10, x_file_stream_retry_wait_min_seconds=0.1,
    x_graphql_retry_wait_min_seconds=0.1
)
def begin(id, **options):
    return wandb.init(entity="lab", project="digits", id=id, settings=settings, **options)
"""


@pytest.fixture
def server() -> Iterator[FakeWandb]:
    before = threading.active_count()
    with FakeWandb() as fake:
        yield fake
    assert threading.active_count() == before
    assert fake.errors == []


def steps_of(server: FakeWandb, run_id: str) -> list[int]:
    return [row["_step"] for row in server.run(run_id).history]


def test_an_online_run_arrives_whole(server: FakeWandb, tmp_path: Path):
    script = """
    import numpy
    run = begin("abc", name="first", tags=["a", "b"], group="g", job_type="train", notes="n", config={"width": 4})
    for i in range(30):
        run.log({"train/loss": 1 / (i + 1), "deep": {"x": i}}, step=2 * i, commit=True)
    run.log({"image": wandb.Image(numpy.zeros((4, 4, 3), numpy.uint8), caption="black")}, step=60, commit=True)
    run.summary["final"] = {"score": 7}
    run.config.update({"later": True})
    run.finish(exit_code=3)
    """
    run_script(INIT + unindent(script), wandb_environment(tmp_path, server.url))
    run = server.runs["lab", "digits", "abc"]
    assert [row["_step"] for row in run.history] == list(range(0, 61, 2))
    assert [row["train/loss"] for row in run.history[:30]] == [1 / (i + 1) for i in range(30)]
    assert [row["deep"] for row in run.history[:30]] == [{"x": i} for i in range(30)]
    image = run.history[30]["image"]
    assert image["caption"] == "black"
    assert run.files[image["path"]].startswith(b"\x89PNG")
    assert run.summary["final"] == {"score": 7}
    assert {name: run.config[name] for name in ("width", "later")} == {"width": {"value": 4}, "later": {"value": True}}
    assert (run.display_name, run.tags, run.group, run.job_type, run.notes) == ("first", ["a", "b"], "g", "train", "n")
    assert (run.is_finished, run.exit_code, run.resume_count) == (True, 3, 0)
    assert {"UpsertBucket", "CreateRunFiles"} <= set(server.operations())


def test_artifacts_are_logged_used_and_downloaded(server: FakeWandb, tmp_path: Path):
    (tmp_path / "one.txt").write_text("one")
    (tmp_path / "two.txt").write_text("two")
    script = """
    run = begin("abc")
    for i, name in enumerate(["one.txt", "two.txt", "two.txt"]):
        model = wandb.Artifact("net", "model", metadata={"epoch": i})
        model.add_file(name, name="in/weights.txt")
        model.add_reference("file://" + os.path.abspath("one.txt"), name="far")
        run.log_artifact(model, aliases=["latest", "best"] if i == 0 else ["latest"]).wait()
    assert (model.version, model.aliases) == ("v1", ["latest"]), "the same content is the same version"
    used = run.use_artifact("net:best")
    assert open(used.download(root="mine") + "/in/weights.txt").read() == "one"
    run.finish()
    api = wandb.Api()
    assert api.default_entity == "tester"
    latest = api.artifact("lab/digits/net:latest")
    assert open(latest.download(root="latest") + "/in/weights.txt").read() == "two"
    assert latest.metadata == {"epoch": 1}
    """
    run_script(INIT + unindent(script), wandb_environment(tmp_path, server.url))
    first, second = server.artifacts["lab", "digits", "net"]
    assert (first.type, first.state, first.metadata, first.aliases) == ("model", "COMMITTED", {"epoch": 0}, ["best"])
    assert first.files == {"in/weights.txt": b"one", "far": f"file://{tmp_path}/one.txt"}
    assert (second.aliases, second.logged_by) == (["latest"], "abc")
    assert server.used["lab", "digits", "abc"] == [first.id]


def test_a_resumed_run_goes_on_where_the_server_stands(server: FakeWandb, tmp_path: Path):
    script = """
    run = begin("abc", resume="allow")
    assert (run.starting_step, run.resumed) == (START, RESUMED)
    assert dict(run.config) == CONFIG
    run.config.update({"a": 1})
    for i in range(START, START + 20):
        run.log({"loss": i}, step=i, commit=True)
    run.log({"too": "low"}, step=START - 1, commit=True)
    run.finish()
    """
    for start, resumed, config in ((0, False, {}), (20, True, {"a": 1})):
        text = script.replace("START", str(start)).replace("RESUMED", str(resumed)).replace("CONFIG", str(config))
        run_script(INIT + unindent(text), wandb_environment(tmp_path, server.url))
    assert steps_of(server, "abc") == list(range(40))
    assert server.run("abc").resume_count == 1


def test_resume_must_and_never_are_refused_where_they_should_be(server: FakeWandb, tmp_path: Path):
    script = """
    begin("there").finish()
    for id, resume in (("absent", "must"), ("there", "never")):
        try:
            begin(id, resume=resume)
        except wandb.errors.UsageError:
            continue
        raise AssertionError(id)
    """
    run_script(INIT + unindent(script), wandb_environment(tmp_path, server.url))
    assert list(server.runs) == [("lab", "digits", "there")]


def test_offline_segments_are_synced_into_one_history(server: FakeWandb, tmp_path: Path):
    script = """
    run = begin("abc", mode="offline")
    for i in range(START, START + 20):
        run.log({"loss": i}, step=i, commit=True)
    model = wandb.Artifact("net", "model")
    open("weights.txt", "w").write("STARTth")
    model.add_file("weights.txt")
    run.log_artifact(model, aliases=["best"])
    run.finish()
    """
    environment = wandb_environment(tmp_path, server.url)
    for start in (0, 20):
        run_script(INIT + unindent(script).replace("START", str(start)), environment)
        time.sleep(1.1)  # Folders are named, and segments ordered, by the second.
    segments = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert server.requests == []
    sync(segments[::-1], environment)
    assert steps_of(server, "abc") == list(range(40))
    assert server.run("abc").exit_code == 0
    assert [version.files for version in server.artifacts["lab", "digits", "net"]] == [
        {"weights.txt": b"0th"},
        {"weights.txt": b"20th"},
    ]
    aliases = [sorted(version.aliases) for version in server.artifacts["lab", "digits", "net"]]
    assert aliases == [[], ["best", "latest"]], "an alias names one version"
    sync(segments, environment)
    assert steps_of(server, "abc") == list(range(40)), "a second sync adds nothing"


def test_an_unknown_key_is_refused(tmp_path: Path):
    script = """
    try:
        begin("abc")
    except (wandb.errors.AuthenticationError, wandb.errors.CommError) as error:
        print("refused:", error)
    """
    with FakeWandb(keys={KEY}) as server:
        output = run_script(INIT + unindent(script), wandb_environment(tmp_path, server.url, key="f" * 40))
        assert "refused:" in output
        assert server.runs == {}
        run_script(INIT + 'begin("abc").finish()', wandb_environment(tmp_path, server.url))
        assert server.run("abc").is_finished


@pytest.mark.faults
def test_an_online_run_survives_a_failing_server(server: FakeWandb, tmp_path: Path):
    script = """
    run = begin("abc")
    for i in range(30):
        run.log({"loss": i}, step=i, commit=True)
    run.finish()
    """
    server.fail(500, on="filestream", times=2)
    server.fail(429, on="UpsertBucket", times=1)
    server.slow(0.3, on="files", times=1)
    run_script(INIT + unindent(script), wandb_environment(tmp_path, server.url))
    assert steps_of(server, "abc") == list(range(30))
    assert server.operations().count("UpsertBucket") >= 2


@pytest.mark.faults  # wandb asks every 15 s.
def test_the_stop_button(server: FakeWandb, tmp_path: Path):
    script = """
    import threading
    stopped = threading.Event()
    settings = wandb.Settings(x_disable_stats=True, stop_fn=stopped.set, x_file_stream_transmit_interval=1)
    run = begin("abc")
    print("begun", flush=True)
    assert stopped.wait(40)
    run.finish()
    """
    press = threading.Thread(target=lambda: (wait_until(lambda: server.runs), server.stop_run("abc")))
    press.start()
    run_script(INIT + unindent(script), wandb_environment(tmp_path, server.url))
    press.join()


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


def test_closing_ends_what_hangs(tmp_path: Path):
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


def wait_until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def unindent(script: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in script.splitlines())
