"""Training on bags of cycles: the same bags for any workers, a network that learns, and scores from its table."""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import torch

from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.prepared.ray_dataset import Piece
from ray_jobs.commands.evaluate import evaluate
from ray_jobs.commands.repeat import read_rows
from ray_jobs.runs.training import train
from tests.trainables.workloads.heart_sound.conftest import DATA
from trainables.engine.data.feed import Feed
from trainables.engine.data.row_order import Shards
from trainables.engine.data.rows import ResidentRows, StreamedRows
from trainables.inference.loading import load_model
from trainables.workloads import build_pipeline, build_task, score_jointly

BATCH = 7
BAGS = {"pooling": {"cycles": "attention"}, "data": {"cycles_per_bag": 4}}
PIPELINE = HeartPipeline(HeartData.model_validate({**DATA, "cycles_per_bag": 4}), "synthetic_murmur")


@cache
def decoded() -> list[pa.Table]:
    """Bags of three shards."""
    rows = [*PIPELINE.read_raw("train", 0)] * 2
    return [PIPELINE.decode(pa.concat_tables(rows[first : first + 10])) for first in (0, 10, 20)]


def feed_of(rank: int, world_size: int, is_streamed: bool, accumulate: int) -> Feed:
    tables = decoded()
    sizes = tuple(table.num_rows for table in tables)
    shards = Shards(sizes, (4,) * len(sizes))

    def read(passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        return (tables[piece.shard].slice(piece.start, piece.num_rows) for pieces in passes for piece in pieces)

    source = StreamedRows(shards, read) if is_streamed else ResidentRows(tables, shards)
    return Feed(
        PIPELINE,
        {"train": source},
        seed=3,
        batch_size=BATCH,
        accumulate=accumulate,
        rank=rank,
        world_size=world_size,
        device=torch.device("cpu"),
    )


def bags_of(world_size: int, is_streamed: bool = False, accumulate: int = 1) -> list[tuple]:
    """Recording and augmented cycles of every bag of two epochs, step by step in the order of their places."""
    found: dict[tuple[int, int, int], tuple] = {}
    for rank in range(world_size):
        feed = feed_of(rank, world_size, is_streamed, accumulate)
        for epoch in (1, 2):
            for step, micros in enumerate(feed.epoch(epoch, 0)):
                for micro in micros:
                    draws = feed.draws("augmentation", epoch, step, micro.places)
                    batch = PIPELINE.augment(micro.content, draws=draws)
                    for row, place in enumerate(micro.places.tolist()):
                        values = {name: each[row].numpy().tobytes() for name, each in batch.items()}
                        found[epoch, step, place] = (*sorted(values.items()),)
    return [found[key] for key in sorted(found)]


def test_any_number_of_workers_has_the_same_bags():
    whole = bags_of(1)
    assert len(whole) % BATCH == 0 and len(set(whole)) == len(whole) > 4 * BATCH
    for changes in ({"world_size": 2}, {"world_size": 3}, {"world_size": 2, "accumulate": 2}):
        for is_streamed in (False, True):
            assert bags_of(**changes, is_streamed=is_streamed) == whole
    assert bags_of(1, is_streamed=True) == whole


def test_the_loss_counts_bags_and_gives_every_weight_a_gradient(stage):
    workload = stage("finetune", "bags", BAGS).workload
    pipeline = build_pipeline(workload)
    task = build_task(workload, pipeline.data_spec(), seed=0)
    micro = next(feed_of(0, 1, False, 1).epoch(1, 0))[0]
    output = task.loss(task.module.train(), micro.content, draws=torch_draws(BATCH, 0))
    output.loss.backward()
    assert all(each.grad is not None for each in task.module.parameters())
    right = float(output.metrics["accuracy"]) * BATCH
    assert right == pytest.approx(round(right)) and micro.content["signal"].shape[:2] == (BATCH, 4)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "linear"])
def test_scores_follow_from_the_table_with_attention(stage, mode):
    experiment = stage("finetune", mode, {**BAGS, "mode": mode})
    result = train(experiment)
    recordings = PIPELINE.num_raw_rows()["train"]
    counts = load_model(str(result.folder), device="cpu").task.state_dict()["counts"]
    assert counts.sum() == recordings and set(counts.tolist()) <= set(range(recordings + 1))
    found = evaluate(experiment, None, {})
    rows = [row for row in read_rows(found["predictions"]) if row["split"] == "val"]
    losses = []
    for name in {row["recording"] for row in rows}:
        mine = [row for row in rows if row["recording"] == name]
        weights = [math.exp(float(row["attention_score"])) for row in mine]
        logits = [
            sum(w * float(row[f"logit({label})"]) for w, row in zip(weights, mine, strict=True)) / sum(weights)
            for label in ("normal", "murmur")
        ]
        total = sum(math.exp(each) for each in logits)
        losses.append(math.log(total) - logits[("normal", "murmur").index(mine[0]["truth"])])
    assert found["metrics"]["val/loss"] == pytest.approx(float(np.mean(losses)), rel=1e-6)
    joint = score_jointly(experiment.workload, read_rows(found["predictions"]))
    assert joint is not None
    told = {name: value for name, value in joint.metrics.items() if not name.startswith("test/num_")}
    assert told == {name: pytest.approx(found["metrics"][name], rel=1e-9) for name in told}


@pytest.mark.slow
def test_murmurs_are_learnt_from_bags(stage):
    people = {"synthetic": {"num_subjects": 40, "duration_s": 4.0}, "val_ratio": 0.2, "test_ratio": 0.2}
    encoder = {"channels": [8, 12, 16, 24], "sequence": "none", "dropout": 0.1}
    data = {**people, "num_samples": 256, "cycles_per_bag": 4}
    workload = {**BAGS, "data": data, "encoder": encoder, "encoder_rate_factor": 1.0}
    training = {"epochs": 20, "batch_size": 8, "evaluate_every": "20 epochs"}
    metrics = train(stage("finetune", "learns", workload, **training)).final["metrics"]
    assert metrics["train/epoch_loss"] < 0.6 and min(metrics["val/auroc"], metrics["test/auroc"]) > 0.9
