"""The transformer block of Restormer (Zamir et al. 2022): attention between channels, and a gated feed-forward part."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Image = Float[Tensor, "batch channels height width"]


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel, with weight and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, x: Image) -> Image:
        """Normalise each pixel on its own."""
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelAttention(nn.Module):
    """Multi-Dconv head transposed attention (MDTA).

    The attention map is channels x channels, so the cost grows linearly with the number of pixels.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1))
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.to_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Image) -> Image:
        """Compute softmax(temperature * q k^T) v, with q and k of unit length along the pixels."""
        qkv = self.depthwise(self.to_qkv(x)).flatten(2).unflatten(1, (3, self.num_heads, -1))
        q, k, v = qkv.unbind(dim=1)
        q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        attention = (self.temperature * (q @ k.transpose(-2, -1))).softmax(dim=-1)
        return self.to_out((attention @ v).flatten(1, 2).unflatten(2, x.shape[-2:]))


class GatedFeedForward(nn.Module):
    """Gated-Dconv feed-forward network (GDFN): one half of the hidden channels, through GELU, gates the other."""

    def __init__(self, channels: int, expansion: float) -> None:
        super().__init__()
        hidden = int(channels * expansion)
        self.to_hidden = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.to_out = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Image) -> Image:
        """Compute W_out (GELU(a) * b)."""
        gate, value = self.depthwise(self.to_hidden(x)).chunk(2, dim=1)
        return self.to_out(functional.gelu(gate) * value)


class TransformerBlock(nn.Module):
    """Transformer block: x + MDTA(norm(x)), then x + GDFN(norm(x))."""

    def __init__(self, channels: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = ChannelNorm(channels), ChannelAttention(channels, num_heads)
        self.feedforward_norm, self.feedforward = ChannelNorm(channels), GatedFeedForward(channels, expansion)

    def forward(self, x: Image) -> Image:
        """Return features of the same shape."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.feedforward(self.feedforward_norm(x))
