"""Evaluation beside a training on Ray: the record of an inline one, also when the worker is killed meanwhile."""

import pytest
import ray.train

from ray_jobs.runs.training import train
from tests.trainables.engine.loop.runs_beside import outcome, rows_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture
def build(toy, tmp_path, ray_cluster):
    def build(name: str, **scaling):
        return toy(
            workload={"kill_file": str(tmp_path / "kill")},
            training={"evaluate": name.partition("-")[0], "keep_checkpoints": 20},
            scaling={"num_workers": 1, **scaling},
            tracking={"run_name": name},
        )

    return build


def test_ray_evaluates_beside_the_training_and_knows_it(build, tmp_path):
    inline, beside, killed = build("inline"), build("beside"), build("beside-killed")
    train(inline)
    train(beside)
    (tmp_path / "kill").write_text("13")
    train(killed)
    assert outcome(beside.folder) == outcome(inline.folder)
    assert outcome(killed.folder) == outcome(inline.folder)
    assert "was lost; restarting" in killed.folder.read("train.log").decode()
    log = beside.folder.read("train.log").decode()
    assert "step 8 evaluated: " in log or "step 16 evaluated: " in log
    known = ray.train.Result.from_path(beside.folder.uri)
    assert known.metrics is not None and known.metrics["step"] == 24
    scores = {metrics["step"]: metrics.get("test/mse") for _, metrics in known.best_checkpoints or ()}
    rows = {row["step"]: row.get("test/mse") for row in rows_of(beside.folder)}
    assert all(scores[step] == rows[step] for step in (8, 16, 24))


def test_a_cluster_without_room_for_it_is_refused(build):
    with pytest.raises(
        ValueError, match=r"training.evaluate=beside: 2 workers and a further process of their size: 3 CPU"
    ):
        train(build("beside", num_workers=2))
