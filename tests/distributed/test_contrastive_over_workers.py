"""NT-Xent of two processes, each with half of the batch, against one process with all of it."""

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


def _work(rank: int, file: str, results) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    group = ProcessGroup(torch.device("cpu"))
    weight = torch.eye(5).requires_grad_()
    rows = slice(4 * rank, 4 * rank + 4)
    options = {"gather": group.gather_with_gradient, "gather_subjects": group.gather, "rank": rank}
    loss = loss_of(weight, rows, SUBJECT[rows], **options)
    loss.backward()
    assert weight.grad is not None
    results.put((float(group.sum(loss)) / 2, (group.sum(weight.grad) / 2).tolist()))
    dist.destroy_process_group()


def test_two_workers_have_the_loss_and_gradient_of_one(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    processes = [context.Process(target=_work, args=(rank, f"{tmp_path}/store", results)) for rank in range(2)]
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
