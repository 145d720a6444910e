"""Rows decoded into Ray's object store: whole, in order, and a clear word when they cannot be had."""

import pyarrow as pa
import pytest
import ray

from ray_jobs.runs.planning import build_plan
from trainables.ray_train.decoded_dataset import StoredRows
from trainables.ray_train.row_sources import open_splits

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]


def test_the_tables_are_the_shards_in_order(ray_cluster, toy, monkeypatch):
    monkeypatch.setattr("data_pipelines.prepared.shard_files.SHARD_BYTES", 150)
    plan = build_plan(toy())
    pipeline, splits, stored = plan.workload.build_pipeline(plan.run.workload), open_splits(plan), StoredRows()
    stored.decode(splits, pipeline, concurrency=2)
    tables = stored.tables()
    assert list(tables) == list(splits)
    for name, split in splits.items():
        expected = [split.load(index, pipeline) for index in range(len(split.shards))]
        assert len(split.shards) > 2
        assert pa.concat_tables(tables[name]).equals(pa.concat_tables(expected))
    assert stored.tables().keys() == tables.keys()  # a worker that is started again asks again


def test_a_request_for_unavailable_rows_raises_the_cause(ray_cluster):
    stored = StoredRows()
    stored.fail("shard 3 is damaged")
    for _ in range(2):
        with pytest.raises(ValueError, match="shard 3 is damaged"):
            stored.tables()


def test_when_nobody_knows_of_the_rows_any_more_that_is_said(ray_cluster):
    stored = StoredRows()
    ray.kill(stored._future)
    with pytest.raises(RuntimeError, match="the same command goes on"):
        stored.tables()
