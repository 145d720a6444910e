"""Two processes against one on a loss that compares every row with the rows of all ranks."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import Tensor

from trainables.engine.process.collectives import ProcessGroup

pytestmark = pytest.mark.slow

ROWS = torch.tensor(
    [[0.1, -0.4], [0.7, 0.2], [-0.3, 0.9], [0.5, 0.5], [-0.8, 0.3], [0.2, 0.6], [0.4, -0.1], [-0.6, -0.7]]
)


def loss_of(rows: Tensor, everything: Tensor, first: int) -> Tensor:
    """Not symmetric in its rows, so that a gradient that misses a rank's share differs."""
    weights = torch.arange(first + 1.0, first + 1.0 + len(rows))
    return (torch.tanh(rows @ everything.T).sum(1) * weights).mean()


def _work(rank: int, file: str, num_first: int, results) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    group = ProcessGroup(torch.device("cpu"))
    weight = torch.eye(2).requires_grad_()
    rows = [ROWS[:num_first], ROWS[num_first:]][rank] @ weight
    everything = group.gather_with_gradient(rows)
    loss = loss_of(rows, everything, first=num_first * rank) * len(rows) / len(ROWS)
    loss.backward()
    assert weight.grad is not None
    results.put((rank, everything.detach().tolist(), float(group.sum(loss)), group.sum(weight.grad).tolist()))
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "num_first", [pytest.param(4, marks=pytest.mark.faults, id="4 rows each"), pytest.param(3, id="3 and 5 rows")]
)
def test_the_mean_over_rows_and_its_gradient_equal_those_of_one_process(tmp_path, num_first):
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    arguments = (f"{tmp_path}/store", num_first, results)
    processes = [context.Process(target=_work, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    found = sorted(results.get() for _ in processes)
    for process in processes:
        process.join(timeout=60)
    weight = torch.eye(2).requires_grad_()
    rows = ROWS @ weight
    loss = loss_of(rows, rows, first=0)
    loss.backward()
    assert weight.grad is not None
    for _, everything, value, gradient in found:
        torch.testing.assert_close(torch.tensor(everything), ROWS)
        torch.testing.assert_close(torch.tensor(value), loss.detach(), check_dtype=False)
        torch.testing.assert_close(torch.tensor(gradient), weight.grad)


def test_one_process_gets_its_own_rows():
    assert ProcessGroup(torch.device("cpu")).gather_with_gradient(ROWS) is ROWS
