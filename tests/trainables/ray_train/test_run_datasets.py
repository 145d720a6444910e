"""Datasets of a run: whole, in order, named, decoded once; shares that lose no row; a damaged shard is named."""

from functools import partial

import pyarrow as pa
import pytest

from ray_jobs.runs.planning import build_plan
from trainables.ray_train.row_sources import build_local_sources, build_shared_sources, open_splits
from trainables.ray_train.run_datasets import RowShares, build_datasets
from trainables.ray_train.worker_main import RunError, run_locally

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("default")]
RESIDENT, STREAM = {"feed": "resident"}, {"feed": "stream"}


def table_of(dataset) -> pa.Table:
    return pa.concat_tables(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))


def table_of_shards(plan, name) -> pa.Table:
    split, pipeline = open_splits(plan)[name], plan.workload.build_pipeline(plan.run.workload)
    return pa.concat_tables([split.load(index, pipeline) for index in range(len(split.shards))])


@pytest.fixture
def plan_of(ray_cluster, toy, monkeypatch):
    monkeypatch.setattr("data_pipelines.prepared.shard_files.SHARD_BYTES", 150)

    def build(training, **scaling):
        return build_plan(toy(training=training, scaling={"num_workers": 1, **scaling}))

    return build


def test_resident_rows_are_the_shards_in_order_decoded_once(plan_of):
    plan = plan_of(RESIDENT)
    datasets = build_datasets(plan)
    assert list(datasets) == ["train", "test"] and len(open_splits(plan)["test"].shards) > 2
    for name, dataset in datasets.items():
        assert dataset.name == f"{plan.run_id}_{name}"
        assert table_of(dataset).equals(table_of_shards(plan, name))
    shares = RowShares(plan).configure({**datasets}, 2, None, None)
    assert all(table_of(share["train"]).equals(table_of_shards(plan, "train")) for share in shares)


@pytest.mark.parametrize("world_size", [1, 3])
def test_shares_of_a_streamed_split_are_all_its_rows(plan_of, world_size):
    plan = plan_of(STREAM)
    datasets = build_datasets(plan)
    assert list(datasets) == ["test"]
    shares = RowShares(plan).configure({**datasets}, world_size, None, None)
    tables = [table_of(share["test"]) for share in shares]
    assert pa.concat_tables(tables).equals(table_of_shards(plan, "test"))
    sizes = [table.num_rows for table in tables]
    assert max(sizes) - min(sizes) <= 1
    assert tables[0].equals(table_of(shares[0]["test"]))  # the next evaluation reads them again


def test_workers_that_read_by_themselves_have_no_dataset(plan_of):
    assert build_datasets(plan_of(STREAM, read_tasks=0)) == {}


def test_a_damaged_shard_is_named_before_any_worker_starts(plan_of):
    plan = plan_of(RESIDENT)
    file = plan.manifest.splits["test"][1].name
    content = bytearray(plan.prepared.read(file))
    content[len(content) // 2] ^= 255
    plan.prepared.write(file, bytes(content))
    with pytest.raises(RunError, match=file) as caught:
        build_datasets(plan)
    assert caught.value.is_bad_input


def test_shared_rows_train_as_those_read_by_oneself(plan_of, monkeypatch):
    plan = plan_of(RESIDENT)
    datasets, pipeline = build_datasets(plan), plan.workload.build_pipeline(plan.run.workload)

    def batches(run, worker):
        return [step[0].content["x"].tolist() for step in worker.feed.epoch(1, 0)]

    expected = run_locally(plan, batches, build_sources=build_local_sources)
    monkeypatch.setattr("data_pipelines.prepared.ray_dataset.load_shard", None)  # nothing is read any more
    before = pa.total_allocated_bytes()
    sources = build_shared_sources(plan, pipeline, datasets)
    assert sources["train"].num_rows == 64 and pa.total_allocated_bytes() == before
    assert run_locally(plan, batches, build_sources=partial(build_shared_sources, datasets=datasets)) == expected
