"""From stored rows to steps of micro-batches: counts, order, and shares of the ranks."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import pyarrow as pa
import pytest
import torch

from data_pipelines.contract.row_draws import NumpyDraws
from data_pipelines.prepared.ray_dataset import Piece
from trainables.engine.data import rows
from trainables.engine.data.feed import Feed, count_steps
from trainables.engine.data.prefetch import prefetch_map, read_ahead
from trainables.engine.data.rows import ResidentRows


class NumberPipeline:
    """Its batch is the numbers of its rows, that of training also a number that was drawn."""

    aliases_rows = False
    collates_by_row = False

    def collate(self, table: pa.Table) -> dict[str, torch.Tensor]:
        return {"row": torch.tensor(table["row"].to_pylist())}

    def collate_train(self, table: pa.Table, draws: NumpyDraws) -> dict[str, torch.Tensor]:
        return {**self.collate(table), "drawn": torch.from_numpy(draws.integers(2**60))}


def build(num_rows: int = 50, *, rank: int = 0, world_size: int = 1, seed: int = 0, **settings: Any) -> Feed:
    pipeline: Any = NumberPipeline()
    tables = [pa.table({"row": list(range(first, min(first + 20, num_rows)))}) for first in range(0, num_rows, 20)]
    test = ResidentRows([pa.table({"row": list(range(7))})])
    return Feed(
        pipeline,
        {"train": ResidentRows(tables), "test": test},
        seed=seed,
        rank=rank,
        world_size=world_size,
        device=torch.device("cpu"),
        **{"batch_size": 12, "accumulate": 1, **settings},
    )


def epoch_of(feed: Feed, epoch: int = 1, start: int = 0) -> list[list[list[int]]]:
    return [[batch.content["row"].tolist() for batch in step] for step in feed.epoch(epoch, start)]


def flat(nested: Any) -> list[int]:
    return [nested] if isinstance(nested, int) else [number for item in nested for number in flat(item)]


@pytest.mark.parametrize(
    ("num_rows", "batch_size", "steps"), [(10, 3, 3), (12, 3, 4), (3, 3, 1), (5, 3, 1), (1, 1, 1), (50_000, 128, 390)]
)
def test_the_steps_of_an_epoch_are_its_whole_batches(num_rows, batch_size, steps):
    assert count_steps(num_rows, batch_size) == steps


@pytest.mark.parametrize("num_rows", [0, 2])
def test_less_than_one_batch_is_refused_with_both_numbers(num_rows):
    with pytest.raises(ValueError, match=rf"{num_rows} rows, fewer than one batch of training\.batch_size=3"):
        count_steps(num_rows, 3)
    if num_rows:
        feed = build(num_rows, batch_size=3)
        assert sum(len(batch["row"]) for batch in feed.ordered("train")) == num_rows  # an evaluation needs no steps
        with pytest.raises(ValueError, match="fewer than one batch"):
            _ = feed.steps_per_epoch


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 1), (1, 3), (2, 1), (2, 3), (3, 2), (5, 1), (7, 1)])
def test_every_step_is_complete_and_the_remainder_is_dropped(world_size, accumulate):
    seen: list[int] = []
    for rank in range(world_size):
        steps = epoch_of(build(rank=rank, world_size=world_size, accumulate=accumulate))
        assert len(steps) == 4
        for step in steps:
            assert len(step) == accumulate and {len(micro) for micro in step} <= {
                12 // (world_size * accumulate),
                -(-12 // (world_size * accumulate)),
            }
        seen += flat(steps)
    assert len(seen) == len(set(seen)) == 48


@pytest.mark.parametrize(("world_size", "accumulate"), [(1, 3), (2, 1), (2, 3), (3, 2), (4, 1), (5, 2), (7, 1)])
def test_the_rows_of_a_step_do_not_depend_on_how_it_is_split(world_size, accumulate):
    whole = [sorted(flat(step)) for step in epoch_of(build())]
    ranks = [epoch_of(build(rank=rank, world_size=world_size, accumulate=accumulate)) for rank in range(world_size)]
    assert [sorted(flat(steps)) for steps in zip(*ranks, strict=True)] == whole


@pytest.mark.parametrize("accumulate", [1, 3])
def test_an_epoch_resumes_at_any_step(accumulate):
    feed = build(accumulate=accumulate)
    whole = epoch_of(feed, epoch=2)
    for start in range(5):
        assert epoch_of(feed, epoch=2, start=start) == whole[start:]


def test_the_next_epoch_goes_on_with_what_was_read_ahead():
    """Until the last step of the training, and not where another step is asked for."""
    feed, fresh = build(passes=2), build(passes=2)
    begun: list[int] = []
    order_of = feed._order_of
    feed._order_of = lambda number: begun.append(number) or order_of(number)
    feed.num_steps = 3 * feed.steps_per_epoch
    for epoch in (1, 2, 3):
        assert epoch_of(feed, epoch) == epoch_of(fresh, epoch)
    assert begun == list(range(6))
    assert epoch_of(feed, 2, start=5) == epoch_of(fresh, 2, start=5)
    assert begun[6:] == [2 + 5 // 4]
    steps = feed.epoch(3, 0)
    next(steps)
    steps.close()
    assert epoch_of(feed, 3, start=1) == epoch_of(fresh, 3)[1:]
    feed.close()
    assert epoch_of(feed, 3, start=1) == epoch_of(fresh, 3)[1:]


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("group_bytes", [1, 10**6])
def test_batches_cut_out_of_larger_ones_are_the_same(accumulate, group_bytes, monkeypatch):
    monkeypatch.setattr(rows, "GROUP_BYTES", group_bytes)
    tables = [pa.table({"row": list(range(first, first + 20))}) for first in (0, 20, 40)]
    shards = rows.Shards((20, 20, 20), (7, 7, 7))

    def read(passes: Iterable[Sequence[Piece]]) -> Iterator[pa.Table]:
        return (tables[piece.shard].slice(piece.start, piece.num_rows) for pieces in passes for piece in pieces)

    found: list[list[list[int]]] = []
    for collates_by_row in (False, True):
        feed = build(accumulate=accumulate, shuffle_window=1)
        feed._sources["train"], feed._num_rows = rows.StreamedRows(shards, read), 60
        pipeline: Any = feed._pipeline
        pipeline.collates_by_row = collates_by_row
        pipeline.collate_train = lambda table, draws, pipeline=pipeline: pipeline.collate(table)
        calls: list[int] = []
        collate = pipeline.collate
        pipeline.collate = lambda table, calls=calls, collate=collate: calls.append(len(table)) or collate(table)
        found.append([flat(epoch_of(feed, epoch, start)) for epoch, start in ((1, 0), (2, 0), (2, 3), (1, 1))])
        assert (max(calls) > 12 // accumulate) == (collates_by_row and group_bytes > 1)
    assert found[0] == found[1]


@pytest.mark.parametrize("aliases_rows", [True, False])
def test_random_draws_differ_by_row_and_repeat_after_a_resume(aliases_rows):
    def drawn(epoch: int, start: int = 0, **settings: Any) -> list[list[list[int]]]:
        feed = build(24, accumulate=2, batch_size=6, **settings)
        feed._pipeline.aliases_rows = aliases_rows
        return [[batch.content["drawn"].tolist() for batch in step] for step in feed.epoch(epoch, start)]

    every = [
        number for place in ({"epoch": 1}, {"epoch": 2}, {"epoch": 1, "seed": 1}) for number in flat(drawn(**place))
    ]
    assert len(set(every)) == len(every) == 3 * 24
    for start in range(9):
        assert drawn(1, start, passes=2) == drawn(1, passes=2)[start:]


@pytest.mark.parametrize(("world_size", "accumulate"), [(2, 1), (3, 1), (7, 1), (5, 2), (1, 5)])
def test_a_row_has_its_draws_and_weight_on_any_worker(world_size, accumulate):
    def rows_of(world_size: int, accumulate: int) -> dict[int, tuple[int, float, float]]:
        found: dict[int, tuple[int, float, float]] = {}
        for rank in range(world_size):
            feed = build(rank=rank, world_size=world_size, accumulate=accumulate)
            for number, step in enumerate(feed.epoch(2, 0)):
                for batch in step:
                    noise = feed.draws("loss", 2, number, batch.places).normal()
                    weight = feed.weigh(batch) / world_size / len(batch.places)
                    parts = (batch.content["row"], batch.content["drawn"], noise)
                    found |= {int(row): (int(drawn), float(of), weight) for row, drawn, of in zip(*parts, strict=True)}
        return found

    found, expected = rows_of(world_size, accumulate), rows_of(1, 1)
    assert found.keys() == expected.keys() and len(found) == 48
    for row, (drawn, noise, weight) in found.items():
        assert (drawn, noise) == expected[row][:2] and weight == pytest.approx(1 / 12)


def test_the_order_follows_from_seed_and_epoch():
    assert epoch_of(build(), epoch=1) == epoch_of(build(), epoch=1)
    orders = [str(epoch_of(build(seed=seed), epoch=epoch)) for seed in (0, 1) for epoch in (1, 2)]
    assert len(set(orders)) == 4


@pytest.mark.parametrize("world_size", [1, 2, 3, 9])
@pytest.mark.parametrize("batch_size", [None, 1, 2, 100])
def test_an_ordered_pass_has_every_row_once_over_the_ranks(world_size, batch_size):
    feeds = [build(rank=rank, world_size=world_size, batch_size=36) for rank in range(world_size)]
    batches = [[batch["row"].tolist() for batch in feed.ordered("test", batch_size)] for feed in feeds]
    assert flat(batches) == list(range(7))
    largest = batch_size or 36 // world_size
    assert all(len(batch) <= largest for rank in batches for batch in rank)


def test_an_absent_split_is_refused_with_the_existing_ones():
    with pytest.raises(ValueError, match="the data have no val split, only train, test"):
        list(build().ordered("val"))


def test_an_error_of_the_data_reaches_the_loop():
    feed = build()

    def fail(*_: Any) -> Any:
        raise ValueError("row 3 is broken")

    feed._pipeline.collate_train = fail  # pyright: ignore
    with pytest.raises(ValueError, match="row 3 is broken"):
        next(feed.epoch(1, 0))


@pytest.mark.parametrize("has_thread", [False, True])
def test_an_error_leaves_no_thread_while_it_is_known(has_thread):
    shards = rows.Shards((20, 20, 20), (5, 5, 5))

    def load(piece: Piece) -> pa.Table:
        return pa.table({"row": list(range(piece.start, piece.stop))})

    def fail(*_: Any) -> Any:
        raise ValueError("row 3 is broken")

    feed: Any = build(shuffle_window=1)
    feed._sources["train"] = rows.StreamedRows(
        shards, lambda passes: prefetch_map(load, chain.from_iterable(passes), threads=2, depth=2)
    )
    feed._pipeline.collate_train = fail
    if has_thread:  # as for a GPU
        feed._ahead = read_ahead
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match="row 3 is broken") as known:
        next(feed.epoch(1, 0))
    feed.close()
    assert set(threading.enumerate()) == before and known.value


def test_each_pass_of_an_epoch_has_all_rows_in_its_own_order():
    feed = build(24, passes=3)
    assert feed.steps_per_epoch == 6 and feed.samples_per_epoch == 72
    steps = epoch_of(feed)
    passes = [flat(steps[first : first + 2]) for first in (0, 2, 4)]
    assert all(sorted(rows) == list(range(24)) for rows in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]
    single = build(24)
    assert [flat(epoch_of(single, number)) for number in (4, 5, 6)] == [
        flat(epoch_of(feed, 2)[first : first + 2]) for first in (0, 2, 4)
    ]


@pytest.mark.parametrize("start", range(7))
def test_an_epoch_of_several_passes_resumes_at_any_step(start):
    feed = build(30, passes=3)
    assert epoch_of(feed, 2, start) == epoch_of(feed, 2)[start:]


def test_the_first_rows_are_the_same_for_any_number_of_ranks():
    batches = [build(rank=rank, world_size=2).first_rows("test", 3)["row"].tolist() for rank in (0, 1)]
    assert batches == [[0, 1, 2]] * 2
    assert build().first_rows("test", 100)["row"].tolist() == list(range(7))


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.zeros(3), "NumberPipeline: a batch is a flat dict of tensors by name, and this one is a Tensor"),
        ({"x": [1.0]}, "its entry 'x' is a list; make it a tensor"),
        ({"x": {"y": torch.zeros(3)}}, "its entry 'x' is a dict"),
        ({3: torch.zeros(3)}, "its entry 3 is a Tensor"),
        ({"x": torch.zeros(3, device="meta")}, "its entry 'x' is on meta; the engine moves it"),
    ],
)
@pytest.mark.parametrize("stage", ["collate", "collate_train"])
def test_batches_that_are_no_flat_dicts_are_refused(batch, words, stage):
    feed = build()
    setattr(feed._pipeline, stage, lambda *_: batch)
    with pytest.raises(ValueError, match=words):
        next(iter(feed.epoch(1, 0) if stage == "collate_train" else feed.ordered("test")))
