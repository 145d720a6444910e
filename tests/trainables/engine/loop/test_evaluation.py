"""One evaluation: its splits in order, and the same running statistics on every rank."""

from typing import Any

import pytest
import torch
from torch import nn

from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.engine.loop.evaluation import run_evaluation

CPU = torch.device("cpu")


class Alone:
    rank, world_size = 0, 1


class OtherRank:
    """The second of two workers; rank 0 has ones in every buffer."""

    rank, world_size = 1, 2

    def broadcast(self, value: list[torch.Tensor]) -> list[torch.Tensor]:
        return [torch.ones_like(buffer) for buffer in value]


class Feed:
    def ordered(self, split: str) -> list[str]:
        return [f"{split} {number}" for number in range(2)]


class Listing(Evaluator):
    def __init__(self, splits: tuple[Any, ...]):
        self._splits, self.seen = splits, []

    @property
    def splits(self) -> Any:
        return self._splits

    def begin_split(self, split: Any) -> None:
        self.seen.append(f"begin {split}")

    def update(self, module: nn.Module, batch: Any) -> None:
        assert not module.training and not torch.is_grad_enabled()
        self.seen.append(batch)

    def compute(self, module: nn.Module) -> EvaluationResult:
        return EvaluationResult({"number": float(len(self.seen))})


class Fixed:
    def __init__(self, evaluator: Evaluator):
        self._evaluator = evaluator

    def evaluator(self, collectives: Any, device: torch.device) -> Evaluator:
        return self._evaluator


def run(evaluator: Evaluator, module: nn.Module, collectives: Any) -> EvaluationResult:
    parts: Any = Fixed(evaluator), Feed()
    return run_evaluation(parts[0], module, parts[1], collectives, CPU, precision="bf16")


def test_every_split_is_announced_and_passed_in_order():
    evaluator = Listing(("val", "test"))
    assert run(evaluator, nn.Linear(1, 1), Alone()).metrics == {"number": 6.0}
    assert evaluator.seen == ["begin val", "val 0", "val 1", "begin test", "test 0", "test 1"]


def test_evaluation_uses_mixed_precision_for_the_model_alone():
    class Scoring(Evaluator):
        def compute(self, module: nn.Module) -> EvaluationResult:
            output = module(torch.full((1, 64), 0.1))
            assert output.dtype == torch.float32 and (output @ output.T).dtype == torch.float32
            return EvaluationResult({"value": output.sum().item()})

    module = nn.Linear(64, 1)
    value = run(Scoring(), module, Alone()).metrics["value"]
    exact = module(torch.full((1, 64), 0.1)).item()
    assert value != exact and value == pytest.approx(exact, abs=0.02)


def test_an_evaluator_of_one_split_need_not_know_of_several():
    class One(Evaluator):
        split = "test"

        def compute(self, module: nn.Module) -> EvaluationResult:
            return EvaluationResult({})

    one, none = One(), One()
    none.split = None
    assert (list(one.splits), list(none.splits)) == (["test"], [])


def test_all_ranks_evaluate_with_rank_0s_running_statistics():
    linear, norm = nn.Linear(2, 3), nn.BatchNorm1d(3)
    weights = linear.weight.clone()
    run(Listing(()), nn.Sequential(linear, norm), OtherRank())
    assert norm.running_mean is not None and torch.equal(norm.running_mean, torch.ones(3))
    assert norm.num_batches_tracked == 1 and torch.equal(linear.weight, weights)


def test_one_process_keeps_its_own():
    module = nn.BatchNorm1d(3)
    run(Listing(()), module, Alone())
    assert torch.equal(module.running_mean, torch.zeros(3))  # pyright: ignore
