"""Evaluator of the contrastive loss on validation subjects, in groups of a fixed size for any batch size and ranks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.panels import Panel
from trainables.contract.seeding import derive_seed, seeded_generator
from trainables.contract.task import LossOutput
from trainables.contract.train_context import Collectives
from trainables.workloads.heart_sound.plots import draw_cycles

NUM_SHOWN = 6
TwoViews = Callable[[dict[str, Tensor], TorchDraws], tuple[Tensor, Tensor]]


class PretrainEvaluator(Evaluator[Mapping[str, Any]]):
    """Evaluator that draws views from the same seed in every evaluation, so that losses of different epochs compare."""

    split = "val"

    def __init__(
        self,
        compare: Callable[..., LossOutput],
        two_views: TwoViews,
        *,
        size: int,
        seed: int,
        collectives: Collectives,
        device: torch.device,
    ) -> None:
        self._compare, self._two_views, self._size, self._seed = compare, two_views, size, seed
        self._collectives, self._device = collectives, device
        self._rows: list[tuple[Tensor, Tensor, Tensor]] = []
        self._shown: list[Tensor] = []

    def update(self, module: nn.Module, batch: Mapping[str, Any]) -> None:
        """Embed two views of a batch."""
        number = len(self._rows) * self._collectives.world_size + self._collectives.rank
        seed_of = partial(derive_seed, self._seed, "validation views", number)
        views = self._two_views(dict(batch), TorchDraws(range(len(batch["signal"])), seed_of, self._device))
        first, second = (module(view) for view in views)
        self._rows.append((first.float(), second.float(), batch["subject"]))
        if len(self._shown) == 0:
            pairs = torch.stack(views, dim=1)[:NUM_SHOWN]
            durations = batch["duration_s"][:NUM_SHOWN].repeat_interleave(2)
            self._shown += [pairs.flatten(0, 1).cpu(), durations.cpu()]

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Return `val/loss` and its parts, and the retrieval accuracy, also of a constant embedding. A collective."""
        if not self._rows:
            raise ValueError("this worker has no validation cycles; use fewer workers or more subjects")
        first, second, subject = (
            self._collectives.gather(torch.cat([row[part] for row in self._rows])) for part in range(3)
        )
        metrics = self._score(first, second, subject)
        constant = self._score(torch.ones_like(first), torch.ones_like(second), subject)
        metrics |= {f"baseline/{name}": value for name, value in constant.items()}
        return EvaluationResult({name: float(value) for name, value in metrics.items()}, self._panels())

    def _score(self, first: Tensor, second: Tensor, subject: Tensor) -> dict[str, float]:
        order = torch.randperm(len(first), generator=seeded_generator(self._seed, "validation groups"))
        groups = [group.to(self._device) for group in order.tensor_split(max(len(order) // self._size, 1))]
        sums: dict[str, float] = {}
        for group in groups:
            output = self._compare(first[group], second[group], subject[group], is_gathered=False)
            found = {"val/loss": output.loss, **{f"val/{name}": value for name, value in output.metrics.items()}}
            found["val/retrieval_accuracy"] = _retrieval(first[group], second[group])
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(group)
        return {name: total / len(order) for name, total in sums.items()}

    def _panels(self) -> list[Panel]:
        if self._collectives.rank:
            return []
        views, durations = self._shown
        captions = [f"cycle {index // 2 + 1}, view {index % 2 + 1}" for index in range(len(views))]
        return [draw_cycles("val/views", views, durations, captions)]


def _retrieval(first: Tensor, second: Tensor) -> Tensor:
    """Compute the share of first views whose nearest second view is their own; ties are shared among the nearest."""
    similarity = nn.functional.normalize(first, dim=1) @ nn.functional.normalize(second, dim=1).T
    nearest = similarity >= similarity.max(dim=1, keepdim=True).values - 1e-6
    return (nearest.diagonal().float() / nearest.sum(dim=1)).mean()
