"""After an error a worker tells whether another one has ended, or whether the error is its own."""

import multiprocessing
import os
import time
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist

from trainables.engine.process import collectives
from trainables.engine.process.collectives import ProcessGroup

pytestmark = pytest.mark.slow


def work(rank: int, store: str, what_others_do: str, answers) -> None:
    collectives.ANSWER_S = 4.0
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=timedelta(seconds=60)
    )
    group = ProcessGroup(torch.device("cpu"))
    group.sum(torch.ones(1))
    if rank == 1:
        if what_others_do == "end":
            os._exit(3)
        if what_others_do == "wait":
            time.sleep(8)
            os._exit(0)
        assert not group.lacks_peer(RuntimeError("a shape does not fit"))
        return
    try:
        if what_others_do == "end":
            for _ in range(100):
                group.sum(torch.ones(1))
        raise RuntimeError("a shape does not fit")
    except RuntimeError as error:
        answers.put(group.lacks_peer(error))


@pytest.mark.parametrize(
    ("what_others_do", "is_lost"),
    [("end", True), ("wait", False), pytest.param("fail alike", False, marks=pytest.mark.faults)],
)
def test_a_peer_that_ended_is_told_from_one_that_waits(tmp_path, what_others_do, is_lost):
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    arguments = (str(tmp_path / "store"), what_others_do, answers)
    processes = [context.Process(target=work, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    assert answers.get(timeout=120) is is_lost
    for process in processes:
        process.join(timeout=60)


def test_a_value_error_or_a_single_worker_lacks_nobody():
    assert not ProcessGroup(torch.device("cpu")).lacks_peer(RuntimeError("connection closed by peer"))
    assert ProcessGroup(torch.device("cpu")).lacks_peer(dist.DistError("gone"))
