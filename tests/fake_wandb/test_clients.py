"""Real wandb clients against the fake server: what arrives, what is resumed and synced."""

import threading
import time
from pathlib import Path

import pytest

from tests.fake_wandb import FakeWandb
from tests.fake_wandb.conftest import wait_until
from tests.fake_wandb.process import KEY, run_script, sync, wandb_environment

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


def test_a_resumed_run_continues_at_the_servers_last_step(server: FakeWandb, tmp_path: Path):
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


def unindent(script: str) -> str:
    return "\n".join(line.removeprefix("    ") for line in script.splitlines())
