"""The `clean` verb: what is old, unused and unheld goes, and nothing else."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from data_pipelines.storage.folder import Folder, to_json
from ray_jobs.commands.clean import read_age
from ray_jobs.exit_codes import BAD_INPUT, DONE
from ray_jobs.run_folder.run_lock import locked
from tests.ray_jobs.command import call, fail
from tests.s3_server import set_credentials, started_s3_server

OLD = 40


class Store:
    """A storage path with made-up runs."""

    def __init__(self, path: Path):
        self.path, self.folder = path, Folder(str(path))

    def run(self, name: str, *, days: float = OLD, inputs: Any = (), settings: Any = None, is_finished: bool = True):
        files: dict[str, Any] = {"inputs.json": [{"path": str(each), "metadata": {}} for each in inputs]}
        files["run.json"] = {"name": f"{name} for people", "wandb_id": "x", "started": "2026-01-01", "tags": []}
        files["experiment.json"] = settings or {}
        files |= {"final_metrics.json": {}} if is_finished else {}
        for file, content in files.items():
            self.folder.write_json(f"runs/{name}/{file}", content)
        self.folder.write(f"runs/{name}/checkpoints/step_1/state.pt", b"x" * 1000)
        self.age(f"runs/{name}", days)

    def data(self, name: str, *, days: float = OLD, stores: Any = ()) -> None:
        self.folder.write_json(
            f"data/{name}/manifest.json", {"splits": {}, "stores": [{"folder": each} for each in stores]}
        )
        self.age(f"data/{name}", days)

    def age(self, name: str, days: float) -> None:
        then = time.time() - days * 86400
        for file in (self.path / name).rglob("*"):
            os.utime(file, (then, then))

    def names(self) -> set[str]:
        return {
            f"{kind}/{name}" for kind in ("runs", "searches", "repeats", "data") for name in self.folder.names(kind)
        }


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def clean(capsys, store: Store, *words: str) -> tuple[set[str], dict[str, str]]:
    """Names of what is or would be removed, and the reasons of what is kept."""
    code, summary, _ = call(capsys, "clean", store.path, *words)
    assert code == DONE
    gone = summary["removed" if "--yes" in words else "to_remove"]
    assert summary["bytes"] == sum(item["num_bytes"] for item in gone)
    return {item["name"] for item in gone}, {item["name"]: item["keeps"] for item in summary["kept"]}


def test_nothing_is_removed_without_yes(store, capsys):
    store.run("old")
    store.run("young", days=3)
    store.data("unused")
    expected = {"runs/old", "data/unused"}
    before = sorted(store.path.rglob("*"))
    assert clean(capsys, store) == (expected, {})
    assert sorted(store.path.rglob("*")) == before
    assert clean(capsys, store, "--yes") == (expected, {})
    assert store.names() == {"runs/young"}
    assert clean(capsys, store, "--yes", "--older-than", "2d") == ({"runs/young"}, {})


def test_folders_of_somebody_else_are_not_looked_at(store, capsys):
    for name in ("runs/notes/a.txt", "searches/notes/a.txt", "data/raw/a.wav", "data/other/manifest.json"):
        store.folder.write(name, b"[]")
        store.age(name.rpartition("/")[0], OLD)
    before = sorted(store.path.rglob("*"))
    assert clean(capsys, store, "--yes") == (set(), {})
    assert sorted(store.path.rglob("*")) == before


def test_what_a_kept_run_was_made_from_is_kept_and_told_why(store, capsys):
    store.run("base", inputs=[store.path / "data/rows"])
    store.run("teacher")
    store.run("child", days=1, inputs=[store.path / "runs/base/models/step_3"], settings={"w": "teacher:latest"})
    store.run("stranger", inputs=[store.path / "runs/loner/models/step_3"])
    store.run("loner")
    store.data("rows", stores=["pictures"])
    store.data("pictures")
    store.data("unused")
    gone, kept = clean(capsys, store, "--yes")
    assert gone == {"runs/stranger", "runs/loner", "data/unused", "runs/base/checkpoints", "runs/teacher/checkpoints"}
    assert kept == {
        "runs/base": "runs/child refers to it",
        "runs/teacher": "runs/child refers to it",
        "data/rows": "runs/base refers to it",
        "data/pictures": "data/rows refers to it",
    }
    assert store.names() == {"runs/child", *kept}
    assert (store.path / "runs/base/run.json").exists() and not (store.path / "runs/base/checkpoints").exists()
    assert (store.path / "runs/child/checkpoints").exists()


def test_a_reference_by_the_name_for_people_counts(store, capsys):
    store.run("a")
    store.run("b", days=1, settings={"weights": "a for people"}, inputs=["s3://bucket/data/my%20rows/manifest.json"])
    store.data("my rows")
    assert clean(capsys, store)[1] == {"runs/a": "runs/b refers to it", "data/my rows": "runs/b refers to it"}


def test_a_reference_through_a_link_counts(store, capsys):
    store.run("teacher")
    (store.path / "best").symlink_to(store.path / "runs/teacher/models/step_1")
    store.run("student", days=1, settings={"workload": {"pretrained": str(store.path / "best")}})
    gone, kept = clean(capsys, store)
    assert gone == {"runs/teacher/checkpoints"} and kept == {"runs/teacher": "runs/student refers to it"}


def test_data_stay_for_a_run_that_has_not_said_what_it_reads(store, capsys):
    store.data("rows")
    store.run("begun", days=0)
    (store.path / "runs/begun/inputs.json").unlink()
    assert clean(capsys, store) == (set(), {"data/rows": "runs/begun refers to it"})
    store.age("runs/begun", OLD)
    assert clean(capsys, store)[0] == {"data/rows", "runs/begun"}


def test_scores_of_repeated_runs_are_removed(store, capsys):
    store.folder.write_json("repeats/hearts/metrics.json", {})
    store.folder.write_json("repeats/mine/notes.json", {})
    store.age("repeats", OLD)
    assert clean(capsys, store, "--only", "runs") == (set(), {})
    assert clean(capsys, store, "--yes") == ({"repeats/hearts"}, {})
    assert store.names() == {"repeats/mine"}


def test_a_run_that_is_going_on_is_never_touched(store, capsys):
    store.run("held", is_finished=False)
    with locked(store.folder / "runs/held"):
        store.age("runs/held", OLD)  # as if its clock were wrong
        gone, kept = clean(capsys, store, "--yes")
        assert gone == set() and kept["runs/held"].startswith(f"in use by process {os.getpid()}")
        assert clean(capsys, store, "--yes", "--only", "checkpoints") == (set(), {})
    store.age("runs/held", OLD)
    assert clean(capsys, store, "--yes")[0] == {"runs/held"}


def test_a_run_that_begins_meanwhile_is_left_alone(store, capsys, monkeypatch):
    store.run("a")
    monkeypatch.setattr("ray_jobs.runs.retention.find_holder", lambda folder: None)
    with locked(store.folder / "runs/a"):
        store.age("runs/a", OLD)
        code, summary, err = call(capsys, "clean", store.path, "--yes")
    assert code == DONE and summary["removed"] == [] and [item["name"] for item in summary["kept"]] == ["runs/a"]
    assert "runs/a is kept: " in err and (store.path / "runs/a/run.json").exists()


def test_a_link_to_another_place_and_its_files_are_kept(store, capsys, tmp_path_factory):
    other, linked = Store(tmp_path_factory.mktemp("other")), "it is a link to another place"
    for each in (store, other):
        each.run("unused")
        each.data("rows")
    (store.path / "runs/shared").symlink_to(other.path / "runs/unused")
    (store.path / "data/shared").symlink_to(other.path / "data/rows")
    before = sorted(other.path.rglob("*"))
    gone, kept = clean(capsys, store, "--yes", "--only", "checkpoints")
    assert gone == {"runs/unused/checkpoints"} and kept == {"runs/shared/checkpoints": linked}
    gone, kept = clean(capsys, store, "--yes")
    assert gone == {"runs/unused", "data/rows"} and set(kept.values()) == {linked}
    assert sorted(other.path.rglob("*")) == before


def test_trials_go_only_with_their_search(store, capsys):
    store.run("tuned-0001")
    store.folder.write("searches/tuned/trials.jsonl", b"{}\n")
    gone, kept = clean(capsys, store)
    assert gone == {"runs/tuned-0001/checkpoints"} and kept == {"runs/tuned-0001": "searches/tuned refers to it"}
    store.age("searches/tuned", OLD)
    assert clean(capsys, store, "--yes") == ({"runs/tuned-0001", "searches/tuned"}, {})


def test_checkpoints_of_unfinished_runs_stay(store, capsys):
    store.run("done")
    store.run("stopped", is_finished=False)
    assert clean(capsys, store, "--yes", "--only", "checkpoints")[0] == {"runs/done/checkpoints"}
    assert (store.path / "runs/stopped/checkpoints").exists()


def test_an_object_store_is_cleaned_like_a_disk(monkeypatch, capsys):
    set_credentials(monkeypatch)
    with started_s3_server() as server:
        folder = Folder(server.uri("store"))
        identity = {"name": "a", "wandb_id": "x", "started": "2026-01-01", "tags": []}
        folder.write_json("runs/a/run.json", identity)
        folder.write_json("data/rows/manifest.json", {"splits": {}})
        folder.write("data/rows/shard.parquet", b"x" * 10)
        code, summary, _ = call(capsys, "clean", folder.uri, "--yes", "--older-than", "0h")
        assert code == DONE and summary["bytes"] == 10 + len(to_json(identity)) + len(to_json({"splits": {}}))
        assert folder.names("runs") == folder.names("data") == []


@pytest.mark.parametrize("text, seconds", [("12h", 43200), ("30d", 2592000), ("2w", 1209600)])
def test_an_age_is_a_number_with_its_unit(text, seconds):
    assert read_age(text) == seconds


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1.5d", "3m"])
def test_any_other_age_is_refused(store, capsys, text):
    code, message = fail(capsys, "clean", store.path, f"--older-than={text}")
    assert code == BAD_INPUT and "write a number with h, d or w, for example 30d" in message


def test_a_record_that_cannot_be_read_stops_all(store, capsys):
    store.run("old")
    store.run("damaged", days=1)
    store.folder.write("runs/damaged/inputs.json", b"{")
    code, message = fail(capsys, "clean", store.path, "--yes")
    assert code == BAD_INPUT and "runs/damaged/inputs.json: is damaged" in message
    assert "runs/old" in store.names()


def test_a_folder_that_cannot_be_removed_stays_and_is_told(store, capsys, monkeypatch):
    store.run("a")
    store.run("b")

    def refuse(storage: Folder, item: Any) -> None:
        if item.name == "runs/a":
            raise PermissionError("of another user")

    monkeypatch.setattr("ray_jobs.runs.retention.remove", refuse)
    code, summary, err = call(capsys, "clean", store.path, "--yes")
    assert code == DONE and "runs/a is kept: of another user" in err
    assert [item["name"] for item in summary["removed"]] == ["runs/b"]
