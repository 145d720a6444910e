"""Means over rows and ranks are those over the whole split."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.ranks import run_ranks, solo
from trainables.contract.evaluation import MeanMetrics

CPU = torch.device("cpu")


def measure(module: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"mse": batch["x"].square(), "baseline/mse": batch["x"].abs()}


def evaluate(collectives, rows: dict[str, list[list[float]]]) -> dict[str, float]:
    evaluator = MeanMetrics(measure, splits=("val", "test"), collectives=collectives, device=CPU)
    for split in evaluator.splits:
        evaluator.begin_split(split)
        for values in rows[split]:
            evaluator.update(nn.Identity(), {"x": torch.tensor(values)})
    return dict(evaluator.compute(nn.Identity()).metrics)


def test_batches_of_different_sizes_count_by_rows():
    found = evaluate(solo(), {"val": [[1.0, 2.0], [3.0]], "test": [[5.0]]})
    assert found["val/mse"] == pytest.approx(np.mean([1, 4, 9])) and found["test/mse"] == 25
    assert found["baseline/val/mse"] == pytest.approx(2.0) and found["baseline/test/mse"] == 5


def test_ranks_with_unequal_or_no_rows_agree_with_one():
    parts = [
        {"val": [[1.0], [2.0]], "test": []},
        {"val": [[3.0, 4.0]], "test": [[5.0, 7.0]]},
        {"val": [], "test": []},
    ]
    alone = evaluate(solo(), {"val": [[1.0, 2.0, 3.0, 4.0]], "test": [[5.0, 7.0]]})
    assert run_ranks(3, lambda ranks: evaluate(ranks, parts[ranks.rank])) == [alone] * 3


def test_a_split_without_rows_gives_no_metrics():
    assert evaluate(solo(), {"val": [], "test": [[1.0]]}).keys() == {"test/mse", "baseline/test/mse"}


@pytest.mark.parametrize("wrong", [torch.zeros(()), torch.zeros(3, 1), None])
def test_values_that_are_not_one_per_sample_are_refused(wrong):
    values = {} if wrong is None else {"mse": wrong}
    evaluator = MeanMetrics(lambda *_: values, splits=("val",), collectives=solo(), device=CPU)
    with pytest.raises(ValueError, match=r"one value for each sample, of shape \[batch\], and got"):
        evaluator.update(nn.Identity(), {})
