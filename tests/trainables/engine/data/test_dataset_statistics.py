from pathlib import Path
from typing import Any

import pytest
import torch

from data_pipelines.storage.folder import Folder
from tests.ranks import run_ranks, solo
from trainables.engine.data.dataset_statistics import DatasetStatisticsCache


class Lesson:
    """Counts how often it is learnt."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> dict[str, Any]:
        self.count += 1
        return {"mean": torch.tensor([1.0, self.count]), "names": ["a", "b"], "share": 0.5}


def memory_of(folder: Path, source_hash: str = "rows", collectives: Any = None) -> DatasetStatisticsCache:
    return DatasetStatisticsCache(Folder(str(folder)), source_hash, collectives or solo())


def test_statistics_of_one_run_are_loaded_by_the_next(tmp_path: Path):
    lesson = Lesson()
    first = memory_of(tmp_path).cached("pixels", {"seed": 1}, lesson)
    second = memory_of(tmp_path).cached("pixels", {"seed": 1}, lesson)
    assert lesson.count == 1
    assert torch.equal(first["mean"], second["mean"])
    assert {**first, "mean": 0} == {**second, "mean": 0}


@pytest.mark.parametrize(
    ("name", "settings", "source_hash"),
    [("colours", {"seed": 1}, "rows"), ("pixels", {"seed": 2}, "rows"), ("pixels", {"seed": 1}, "other rows")],
)
def test_another_name_setting_or_data_set_is_computed_apart(
    tmp_path: Path, name: str, settings: dict[str, int], source_hash: str
):
    lesson = Lesson()
    memory_of(tmp_path).cached("pixels", {"seed": 1}, lesson)
    other = memory_of(tmp_path, source_hash).cached(name, settings, lesson)
    assert lesson.count == 2 and other["mean"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content + b"x"])
def test_a_damaged_cache_file_is_recomputed_with_a_warning(
    tmp_path: Path, damage: Any, caplog: pytest.LogCaptureFixture
):
    lesson = Lesson()
    memory_of(tmp_path).cached("pixels", {}, lesson)
    (file,) = (tmp_path / "learnt").iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert memory_of(tmp_path).cached("pixels", {}, lesson)["mean"].tolist() == [1.0, 2.0]
    assert f"{file} is damaged" in caplog.text
    memory_of(tmp_path).cached("pixels", {}, lesson)
    assert lesson.count == 2


def test_without_a_writable_cache_each_run_computes_and_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "learnt").write_text("in the way")
    lesson = Lesson()
    for count in (1, 2):
        assert memory_of(tmp_path).cached("pixels", {}, lesson)["mean"].tolist() == [1.0, count]
    assert caplog.text.count("cannot be written, so each run learns it anew") == 2


def test_all_ranks_compute_together_and_load_what_rank_0_wrote(tmp_path: Path):
    def body(collectives: Any) -> tuple[list[float], list[float]]:
        memory = memory_of(tmp_path, collectives=collectives)

        def learn() -> dict[str, Any]:
            return {"sum": collectives.sum(torch.tensor([1.0 + collectives.rank]))}

        def refuse() -> dict[str, Any]:
            raise AssertionError("it is known")

        return memory.cached("sum", {}, learn)["sum"].tolist(), memory.cached("sum", {}, refuse)["sum"].tolist()

    assert run_ranks(2, body) == [([3.0], [3.0])] * 2
