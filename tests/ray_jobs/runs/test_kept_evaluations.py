"""Evaluations of a run are found by model, data and settings."""

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.runs.kept_evaluations import FOUND, SETTINGS, find_evaluation, next_evaluation


@pytest.fixture
def asked(toy):
    return {"checkpoint": "models/a", "source_hash": "1", "shaping": toy().shaping}


@pytest.fixture
def write(tmp_path, toy, asked):
    """Writes an evaluation as the verb does, with other values of what was found or set."""

    def write_one(*, changes=None, **found) -> Folder:
        place = next_evaluation(Folder(str(tmp_path)))
        known = {name: asked[name] for name in ("checkpoint", "source_hash")}
        place.write_json(FOUND, {**known, "predictions": None, **found})
        place.write_json(SETTINGS, toy().override(changes or {}).model_dump(mode="json"))
        return place

    return write_one


def test_the_latest_evaluation_of_the_same_is_found(tmp_path, write, asked):
    run = Folder(str(tmp_path))
    assert find_evaluation(run, **asked) is None
    places = [write(), write(changes={"storage.path": str(tmp_path / "moved")})]
    assert str(places[1]).endswith("evaluations/002")
    others = ({"checkpoint": "models/b"}, {"source_hash": "2"}, {"changes": {"seed": 7}}, {"predictions": "a table"})
    for other in others:
        write(**other)
    next_evaluation(run).write_json(FOUND, {})  # did not end
    found = find_evaluation(run, **asked)
    assert found is not None and str(found) == str(places[1])


def test_an_evaluation_without_a_hash_is_not_found(tmp_path, write, asked):
    write(source_hash=None)
    assert find_evaluation(Folder(str(tmp_path)), **asked) is None
