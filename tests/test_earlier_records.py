"""Prepared data, checkpoints, models, records and searches that version 0.1.0 wrote are read and continued.

The archive was written by commit 9fcc06f: prepared digits; a flow-matching run that was stopped after step 14 of 30; a
finished run with an evaluation; a finished search of two trials. Its feature network is mostly zeros, to stay small, so
its scores say nothing of quality.
"""

import json
import tarfile
from pathlib import Path

import pytest

from data_pipelines.prepared.manifest import read_manifest
from data_pipelines.storage.folder import Folder
from ray_jobs.cli import main
from ray_jobs.exit_codes import DONE
from trainables.run_paths import METADATA, model_data_spec

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = [json.loads(line) for line in (FIXTURES / "storage_0_1_0_rows.jsonl").read_text().splitlines()]
"""Rows of the interrupted run after version 0.1.0 resumed it."""
pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path) -> Path:
    """The archive's folder: experiments and storage."""
    with tarfile.open(FIXTURES / "storage_0_1_0.tar.xz", "r:xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "quintet_9fcc06f"


def run(place: Path, verb: str, *words: str) -> int:
    return main([verb, *words, "--set", f"storage.path={place}/storage"])


def summary(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_an_interrupted_run_is_resumed(place):
    rows = place / "storage/runs/interrupted/metrics.jsonl"
    before = rows.read_bytes()
    assert before.count(b"\n") == 14
    assert run(place, "train", f"{place}/experiments/interrupted.yaml") == DONE
    assert "resumed from" in (place / "storage/runs/interrupted/train.log").read_text()
    assert rows.read_bytes().startswith(before)
    found = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [row["step"] for row in found] == list(range(1, 31))
    for row, expected in zip(found, EXPECTED, strict=True):  # the last bits depend on the processor
        goes_on = row["step"] > 14  # in another order, and with other random numbers
        assert row.keys() == expected.keys()
        assert row["train/learning_rate"] == pytest.approx(expected["train/learning_rate"], rel=1e-6)
        assert row["train/loss"] == pytest.approx(expected["train/loss"], rel=0.3 if goes_on else 1e-3)


def test_a_finished_run_and_its_model_are_read(place, capsys):
    words = (f"{place}/experiments/finished.yaml",)
    assert run(place, "train", *words) == DONE
    assert "already finished" in capsys.readouterr().out
    assert run(place, "evaluate", *words, "--num-samples", "30", "--nfe", "4", "--json") == DONE
    before = json.loads((place / "storage/runs/finished/evaluations/001/metrics.json").read_text())["metrics"]
    found = summary(capsys)["metrics"]  # the scores are those of other noise: its rule changed since then
    assert found.keys() == before.keys() and found["eval/nfe_net"] == before["eval/nfe_net"]
    assert 0 < found["eval/fid_local"] < 5 and 0 < found["baseline/eval/fid_local"] < 10
    assert run(place, "evaluate", *words, "--checkpoint", "interrupted:latest", "--num-samples", "30") == DONE


def test_the_data_spec_of_data_and_models_is_read(place):
    manifest = read_manifest(Folder(str(place / "storage/data/digits-92f3484e")))
    assert manifest and manifest.data_spec["height"] == 8
    metadata = Folder(f"{place}/storage/runs/finished/models/step_000000014").read_json(METADATA)
    assert "data_spec" not in metadata and model_data_spec(metadata) == manifest.data_spec


def test_runs_and_searches_are_reported(place, capsys):
    assert run(place, "report", "interrupted", "finished", "search") == DONE
    for name in ("runs/interrupted", "runs/finished", "searches/search"):
        assert (place / f"storage/{name}/report.html").stat().st_size > 10_000
    assert run(place, "show", f"{place}/experiments/interrupted.yaml") == DONE


@pytest.mark.ray
@pytest.mark.filterwarnings("default")
@pytest.mark.usefixtures("ray_cluster")
def test_a_finished_search_is_not_repeated(place, capsys):
    assert run(place, "sweep", f"{place}/experiments/search.yaml") == DONE
    assert "2 of 2" in capsys.readouterr().out
