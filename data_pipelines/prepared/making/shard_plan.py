"""Plan of a preparation: which raw rows make which shard, and what has come of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from data_pipelines.contract.config import Config
from data_pipelines.contract.pipeline import Counts, LeftOut, Shard, Split


@dataclass(frozen=True)
class ShardTask:
    """Raw rows `first_row` to `first_row + num_rows` of a split, which make one shard."""

    split: Split
    index: int
    first_row: int
    num_rows: int
    is_last: bool
    """Whether the split ends with it."""

    @property
    def place(self) -> tuple[Split, int]:
        """Split and index."""
        return self.split, self.index


class MadeShard(Config):
    """What has come of a task; kept on disk until the manifest is written."""

    split: Split
    index: int
    num_raw_rows: int
    shard: Shard | None
    """None when no row was stored: all files are damaged, or one is and the settings refuse that."""
    decoded_bytes: int = 0
    counts: dict[str, dict[str, int]] = {}
    left_out: list[LeftOut] = []

    @property
    def place(self) -> tuple[Split, int]:
        """Split and index of the task."""
        return self.split, self.index


def plan_shards(num_raw_rows: Mapping[Split, int], rows_per_shard: int) -> list[ShardTask]:
    """Return the tasks in order. They depend on the raw rows alone, so that any process can do any of them."""
    return [
        ShardTask(
            split,
            index,
            first_row=first,
            num_rows=min(rows_per_shard, num_rows - first),
            is_last=first + rows_per_shard >= num_rows,
        )
        for split, num_rows in num_raw_rows.items()
        for index, first in enumerate(range(0, num_rows, rows_per_shard))
    ]


def group_tasks(tasks: Sequence[ShardTask], most: int) -> Iterator[list[ShardTask]]:
    """Yield runs of tasks whose rows follow one another, of at most so many, as they are read in one pass."""
    group: list[ShardTask] = []
    for task in tasks:
        follows = group and (group[-1].split, group[-1].index + 1) == (task.split, task.index)
        if group and (not follows or len(group) == most):
            yield group
            group = []
        group.append(task)
    if group:
        yield group


def share_tasks(tasks: Sequence[ShardTask], num_workers: int) -> Iterator[list[ShardTask]]:
    """Yield groups of tasks, see `group_tasks`, for workers that each take the next one when they are done.

    A group is half a worker's share of what is left: large ones first, as each begins to read anew, and single tasks at
    the end, so that no worker waits long for another.
    """
    left = list(tasks)
    while left:
        group = next(group_tasks(left, max(len(left) // (2 * num_workers), 1)))
        left = left[len(group) :]
        yield group


def join_shards(made: Sequence[MadeShard]) -> list[Shard]:
    """Return the shards of one split, which together cover all its raw rows.

    Rows of a task without a shard belong to the range of the shard before, or of the first.
    """
    shards: list[Shard] = []
    pending = 0
    for each in sorted(made, key=lambda each: each.index):
        if each.shard is not None:
            num_left_out = each.num_raw_rows - each.shard.num_rows + pending
            shards.append(each.shard.model_copy(update={"num_left_out": num_left_out}))
            pending = 0
        elif shards:
            more = shards[-1].num_left_out + each.num_raw_rows
            shards[-1] = shards[-1].model_copy(update={"num_left_out": more})
        else:
            pending += each.num_raw_rows
    return shards


def add_counts(all_counts: Sequence[Counts]) -> dict[str, dict[str, int]]:
    """Add up the numbers of several shards, by group and name."""
    total: dict[str, dict[str, int]] = {}
    for counts in all_counts:
        for group, numbers in counts.items():
            before = total.setdefault(group, {})
            for name, number in numbers.items():
                before[name] = before.get(name, 0) + number
    return total
