"""Network of encoder and classifier; in linear evaluation the encoder does not change."""

from typing import Self

from jaxtyping import Float
from torch import Tensor, nn

from trainables.workloads.heart_sound.finetune.config import Head
from trainables.workloads.heart_sound.networks.config import EncoderConfig
from trainables.workloads.heart_sound.networks.encoder import Encoder, Signal


class FinetuneNetwork(nn.Module):
    """Network that returns logits of the task's classes."""

    def __init__(self, encoder: EncoderConfig, head: Head, *, num_classes: int, is_frozen: bool) -> None:
        super().__init__()
        self.encoder = Encoder(encoder)
        self.is_frozen = is_frozen
        self.classifier = (
            nn.Sequential(nn.Linear(self.encoder.width, num_classes))
            if is_frozen
            else nn.Sequential(
                nn.Linear(self.encoder.width, head.hidden),
                nn.BatchNorm1d(head.hidden),
                nn.ReLU(),
                nn.Dropout(head.dropout),
                nn.Linear(head.hidden, num_classes),
            )
        )
        if is_frozen:
            self.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays in eval mode: no dropout, and its running statistics do not change."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    def forward(self, signal: Signal) -> Float[Tensor, "batch classes"]:
        return self.classifier(self.encoder(signal))
