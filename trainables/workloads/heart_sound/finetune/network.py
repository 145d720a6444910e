"""Network of encoder and classifier; in linear evaluation the encoder does not change."""

from typing import Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from trainables.workloads.heart_sound.finetune.config import Head
from trainables.workloads.heart_sound.networks.config import EncoderConfig
from trainables.workloads.heart_sound.networks.encoder import Encoder, GatedAttention, Signal


class FinetuneNetwork(nn.Module):
    """Network that returns logits of the task's classes for each cycle, and with attention last its attention score.

    The score is that of the embedding before the last layer. As this layer is linear, the logits of the embeddings'
    mean with the weights softmax(scores) are the mean of the logits with these weights: so a recording's are found from
    what the network returns for its cycles.
    """

    def __init__(
        self, encoder: EncoderConfig, head: Head, *, num_classes: int, is_frozen: bool, has_attention: bool = False
    ) -> None:
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
        width = self.encoder.width if is_frozen else head.hidden
        self.attention = GatedAttention(width) if has_attention else None
        if is_frozen:
            self.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen encoder stays in eval mode: no dropout, and its running statistics do not change."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    def forward(self, signal: Signal) -> Float[Tensor, "batch outputs"]:
        if self.attention is None:
            return self.classifier(self.encoder(signal))
        embedding = self.classifier[:-1](self.encoder(signal))
        return torch.cat([self.classifier[-1](embedding), self.attention(embedding)], dim=1)


def pool_bags(
    outputs: Float[Tensor, "bags cycles outputs"], is_counted: Bool[Tensor, "bags cycles"]
) -> Float[Tensor, "bags classes"]:
    """Return the logits of bags: the mean of their cycles' with the weights softmax(scores) (Ilse et al. 2018).

    The outputs are logits and scores by a network with attention, in any precision. `is_counted` is false for cycles
    that are left out; each bag has another.
    """
    logits, scores = outputs.float().split([outputs.shape[2] - 1, 1], dim=2)
    weights = scores.masked_fill(~is_counted[..., None], -torch.inf).softmax(dim=1)
    return (weights * logits).sum(dim=1)
