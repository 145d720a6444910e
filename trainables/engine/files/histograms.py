"""Histograms of gradients and parameters on rank 0, every so many steps; they do not change the training."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from data_pipelines.storage.folder import Folder
from trainables.engine.process.collectives import complete
from trainables.run_paths import PICTURES, step_name

NUM_BINS = 64
KEY = "watch"


@dataclass(frozen=True)
class Watch:
    """Settings: which histograms to take, and how often."""

    gradients: bool
    parameters: bool
    every_steps: int


class Watcher:
    """Histograms, kept on the device until they are saved. Call `on_gradients` between clipping and the optimiser."""

    def __init__(self, watch: Watch | None, *, is_writer: bool = True):
        self._watch, self._is_writer = watch, is_writer
        self._seen: list[tuple[int, dict[str, tuple[Tensor, Tensor]]]] = []

    def on_gradients(self, module: nn.Module, step: int) -> None:
        """Take the histograms of a step that is due. A collective if the module is sharded."""
        if self._watch is None or step % self._watch.every_steps:
            return
        histograms = {}
        for name, parameter in module.named_parameters():
            watched = {"gradients": parameter.grad if self._watch.gradients else None}
            watched["parameters"] = parameter if self._watch.parameters else None
            for kind, part in watched.items():
                values = None if part is None else complete(part.detach())
                if values is not None and self._is_writer:
                    histograms[f"{KEY}/{kind}/{name}"] = take_histogram(values)
        if self._is_writer:
            self._seen.append((step, histograms))

    def save(self, folder: Folder, epoch: int) -> list[str]:
        """Write the histograms taken since the last call, one file for each step; returns the description files."""
        seen, self._seen = self._seen, []
        return [_save(folder, step, epoch, histograms) for step, histograms in seen]


def take_histogram(values: Tensor) -> tuple[Tensor, Tensor]:
    """Count the finite values in 64 equal bins from the smallest to the largest; returns counts [64] and edges [65]."""
    finite = values.flatten().float()
    finite = finite[torch.isfinite(finite)]
    low, high = (finite.min(), finite.max()) if len(finite) else (finite.new_zeros(()), finite.new_zeros(()))
    if bool(low == high):
        low, high = low - 0.5, high + 0.5
    edges = torch.linspace(0, 1, NUM_BINS + 1, device=finite.device) * (high - low) + low
    # torch.histc has no deterministic kernel on CUDA
    return torch.bincount(torch.bucketize(finite, edges[1:-1], right=True), minlength=NUM_BINS), edges


def _save(folder: Folder, step: int, epoch: int, histograms: dict[str, tuple[Tensor, Tensor]]) -> str:
    name = f"{PICTURES}/{KEY}/{step_name(step)}.json"
    content: dict[str, Any] = {
        key: {"counts": [int(count) for count in counts.tolist()], "edges": edges.tolist()}
        for key, (counts, edges) in histograms.items()
    }
    folder.write_json(name, {"key": KEY, "type": "histograms", "step": step, "epoch": epoch, "histograms": content})
    return name
