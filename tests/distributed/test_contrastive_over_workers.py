"""NT-Xent of two processes, each with a part of the batch, against one process with all of it."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from trainables.engine.process.collectives import ProcessGroup
from trainables.workloads.heart_sound.pretrain.contrastive import nt_xent, sub_structure_loss

pytestmark = pytest.mark.slow

GENERATOR = torch.Generator().manual_seed(0)
FIRST, SECOND = torch.randn(2, 8, 3, 5, generator=GENERATOR)
SUBJECT = torch.tensor([0, 0, 1, 2, 2, 3, 0, 4])


def loss_of(weight: torch.Tensor, rows: slice, subject: torch.Tensor, **options) -> torch.Tensor:
    first, second = FIRST[rows] @ weight, SECOND[rows] @ weight
    whole = nt_xent(first[:, 0], second[:, 0], temperature=0.3, subject=subject, **options)
    return whole + sub_structure_loss(first, second, is_aligned=True, temperature=0.3, subject=subject, **options)


def _work(rank: int, file: str, num_first: int, results) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    group = ProcessGroup(torch.device("cpu"))
    weight = torch.eye(5).requires_grad_()
    rows = [slice(None, num_first), slice(num_first, None)][rank]
    options = {
        "gather": group.gather_with_gradient,
        "gather_subjects": group.gather,
        "num_before": lambda count: sum(group.counts(count)[:rank]),
    }
    loss = loss_of(weight, rows, SUBJECT[rows], **options) * len(SUBJECT[rows]) / len(SUBJECT)
    loss.backward()
    assert weight.grad is not None
    results.put((float(group.sum(loss)), group.sum(weight.grad).tolist()))
    dist.destroy_process_group()


@pytest.mark.parametrize(
    "num_first", [pytest.param(4, marks=pytest.mark.faults, id="4 rows each"), pytest.param(3, id="3 and 5 rows")]
)
def test_the_mean_over_rows_of_two_workers_has_the_value_and_gradient_of_one(tmp_path, num_first):
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    arguments = (f"{tmp_path}/store", num_first, results)
    processes = [context.Process(target=_work, args=(rank, *arguments)) for rank in range(2)]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join(timeout=60)
    weight = torch.eye(5).requires_grad_()
    loss = loss_of(weight, slice(None), SUBJECT)
    loss.backward()
    assert weight.grad is not None
    for value, gradient in found:
        torch.testing.assert_close(torch.tensor(value), loss.detach(), check_dtype=False)
        torch.testing.assert_close(torch.tensor(gradient), weight.grad)
