"""Exponential moving average of the weights."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainables.contract.training_config import Ema


class EmaModel(AveragedModel):
    """Copy of the module whose parameters follow p_ema <- d p_ema + (1 - d) p; buffers are copied as they are."""

    def __init__(self, module: nn.Module, settings: Ema):
        super().__init__(module)
        self._settings, self.num_updates = settings, 0
        self.requires_grad_(False)
        self.eval()

    def update_parameters(self, model: nn.Module) -> None:
        """Average once; unlike torch's, the first update averages too."""
        average = get_ema_multi_avg_fn(compute_decay(self._settings, self.num_updates))
        with torch.no_grad():
            average(list(self.module.parameters()), [p.detach() for p in model.parameters()], self.num_updates)
            for mine, other in zip(self.module.buffers(), model.buffers(), strict=True):
                mine.copy_(other)
        self.num_updates += 1


def compute_decay(settings: Ema, num_updates: int) -> float:
    """Compute the decay of the update after `num_updates` earlier ones."""
    if not settings.has_warmup:
        return settings.decay
    return min(settings.decay, (1 + num_updates) / (10 + num_updates))
