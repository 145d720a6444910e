"""The plan of shards, and how workers share it."""

from itertools import pairwise

from data_pipelines.prepared.making.shard_plan import plan_shards, share_tasks


def test_groups_are_large_first_and_single_at_the_end():
    tasks = plan_shards({"train": 300, "test": 65}, rows_per_shard=10)
    groups = list(share_tasks(tasks, 2))
    assert [task for group in groups for task in group] == tasks
    assert [len(group) for group in groups] == [9, 7, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1]
    for group in groups:
        assert len({task.split for task in group}) == 1
        ends = [(task.first_row, task.first_row + task.num_rows) for task in group]
        assert all(before[1] == after[0] for before, after in pairwise(ends))


def test_more_workers_than_tasks_get_one_each():
    tasks = plan_shards({"train": 25}, rows_per_shard=10)
    assert list(share_tasks(tasks, 8)) == [[task] for task in tasks]
