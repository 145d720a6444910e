"""Diffusion transformer with adaLN-zero (Peebles and Xie 2023) over the tokens of all future frames together."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.video_prediction.network_config import SIZES, DiT, PastEncoder

_TIME_DIM = 256
_MAX_PERIOD = 10_000
_EMBEDDING_STD = 0.02


class VideoDiT(nn.Module):
    """Transformer in which the tokens of all future frames attend to each other.

    Each token is conditioned on the timestep, on the index of its frame, and on the features of the past frames at its
    position. The index enters the tokens and their conditioning; without it the network could not distinguish the
    frames.
    """

    def __init__(self, config: DiT, *, channels: int, height: int, width: int, num_future: int) -> None:
        super().__init__()
        size, patch = SIZES[config.size], config.patch_size
        self.patch_size, self.grid = patch, (height // patch, width // patch)
        self.past = PastFrames(config.past, channels)
        self.embed_past = _patches(config.past.channels, size.hidden_dim, patch // config.past.patch_size)
        self.embed_frame = _patches(channels, size.hidden_dim, patch)
        self.embed_time = TimeEmbedding(size.hidden_dim)
        self.embed_index = nn.Embedding(num_future, size.hidden_dim)
        self.blocks = nn.ModuleList([DitBlock(size.hidden_dim, size.num_heads) for _ in range(size.depth)])
        self.head = Head(size.hidden_dim, channels * patch**2)
        self.register_buffer("positions", encode_positions(*self.grid, size.hidden_dim), persistent=False)
        self._initialise()

    def forward(
        self,
        x_t: Float[Tensor, "batch future channels height width"],
        t: Int64[Tensor, " batch"],
        past: Float[Tensor, "batch past channels height width"],
        index: Int64[Tensor, "batch future"] | None = None,
    ) -> Float[Tensor, "batch future channels height width"]:
        """Predict the target; `index` numbers the future frames from 0, by default in order."""
        batch, num_frames = x_t.shape[:2]
        if index is None:
            index = torch.arange(num_frames, device=x_t.device).expand(batch, -1)
        which = self.embed_index(index)[:, :, None]
        tokens = _as_tokens(self.embed_frame(x_t.flatten(0, 1))).unflatten(0, (batch, num_frames))
        tokens = (tokens + self.get_buffer("positions") + which).flatten(1, 2)
        condition = self.embed_time(t)[:, None, None] + which + _as_tokens(self.embed_past(self.past(past)))[:, None]
        condition = functional.silu(condition.flatten(1, 2))
        for block in self.blocks:
            tokens = block(tokens, condition)
        return self._to_frames(self.head(tokens, condition).unflatten(1, (num_frames, -1)))

    def _to_frames(self, patches: Tensor) -> Tensor:
        rows, columns = self.grid
        maps = patches.flatten(0, 1).transpose(1, 2).unflatten(2, (rows, columns))
        return functional.pixel_shuffle(maps, self.patch_size).unflatten(0, patches.shape[:2])

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for layer in (self.embed_frame, self.embed_past):
            nn.init.xavier_uniform_(layer.weight.flatten(1))
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        for layer in (self.embed_time.first, self.embed_time.second):
            nn.init.normal_(layer.weight, std=_EMBEDDING_STD)
        nn.init.normal_(self.embed_index.weight, std=_EMBEDDING_STD)
        zeros = [self.head.project, self.head.modulate]
        zeros += [block.modulate for block in self.blocks if isinstance(block, DitBlock)]
        for layer in zeros:
            nn.init.zeros_(layer.weight)


class DitBlock(nn.Module):
    """Attention and a feed-forward part, each scaled, shifted and gated by the condition of its token."""

    def __init__(self, hidden_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.modulate = nn.Linear(hidden_dim, 6 * hidden_dim)
        self.to_qkv = nn.Linear(hidden_dim, 3 * hidden_dim)
        self.to_out = nn.Linear(hidden_dim, hidden_dim)
        self.widen = nn.Linear(hidden_dim, 4 * hidden_dim)
        self.narrow = nn.Linear(4 * hidden_dim, hidden_dim)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], condition: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch tokens dim"]:
        """Return tokens; with all gates at zero, as initialised, they pass unchanged."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = self.modulate(condition).chunk(6, dim=-1)
        tokens = tokens + gate_1 * self._attend(_modulate(tokens, shift_1, scale_1))
        hidden = functional.gelu(self.widen(_modulate(tokens, shift_2, scale_2)), approximate="tanh")
        return tokens + gate_2 * self.narrow(hidden)

    def _attend(self, tokens: Tensor) -> Tensor:
        q, k, v = self.to_qkv(tokens).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        return self.to_out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Head(nn.Module):
    """Head from tokens to the pixels of their patches; its output is zero as initialised."""

    def __init__(self, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.modulate = nn.Linear(hidden_dim, 2 * hidden_dim)
        self.project = nn.Linear(hidden_dim, out_dim)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], condition: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch tokens out"]:
        """Scale and shift the tokens by the condition, then project them."""
        shift, scale = self.modulate(condition).chunk(2, dim=-1)
        return self.project(_modulate(tokens, shift, scale))


class TimeEmbedding(nn.Module):
    """Embedding of the timestep: sines and cosines, through two linear layers."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(_TIME_DIM, hidden_dim)
        self.second = nn.Linear(hidden_dim, hidden_dim)

    def forward(self, t: Int64[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """Return one vector for each sample."""
        waves = encode_scalar(t.float(), _TIME_DIM).to(self.first.weight.dtype)  # bfloat16 would round t to 8 bits
        return self.second(functional.silu(self.first(waves)))


def encode_scalar(value: Float[Tensor, " count"], dim: int) -> Float[Tensor, "count dim"]:
    """Return cosines, then sines, at dim / 2 frequencies from 1 down to 1 / 10,000 (Vaswani 2017, section 3.5)."""
    half = dim // 2
    places = torch.arange(half, dtype=torch.float32, device=value.device)
    angles = value[:, None] * torch.exp(-math.log(_MAX_PERIOD) * places / half)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def encode_positions(rows: int, columns: int, dim: int) -> Float[Tensor, "tokens dim"]:
    """Return fixed positions: one half of the channels encodes the row, the other the column."""
    row = torch.arange(rows, dtype=torch.float32).repeat_interleave(columns)
    column = torch.arange(columns, dtype=torch.float32).repeat(rows)
    return torch.cat([encode_scalar(row, dim // 2), encode_scalar(column, dim // 2)], dim=1)


def _modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return functional.layer_norm(tokens, tokens.shape[-1:], eps=1e-6) * (1 + scale) + shift


def _patches(channels: int, hidden_dim: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(channels, hidden_dim, side, stride=side)


def _as_tokens(maps: Float[Tensor, "batch dim rows columns"]) -> Float[Tensor, "batch tokens dim"]:
    return maps.flatten(2).transpose(1, 2)


class PastFrames(nn.Module):
    """Encoder of the past frames; 5,536,000 parameters with 256 channels, 4 layers and latents of 4 channels.

    Zeros beyond the first and last frame show the convolutions the position in time, so that the mean over time still
    holds the direction of a motion.
    """

    def __init__(self, config: PastEncoder, channels: int) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        layers: list[nn.Module] = []
        width = channels * config.patch_size**2
        for _ in range(config.num_layers):
            layers += [nn.Conv3d(width, config.channels, 3, padding=1)]
            layers += [nn.GroupNorm(config.num_groups, config.channels), nn.SiLU()]
            width = config.channels
        layers.append(nn.Conv3d(width, config.channels, (3, 1, 1), padding=(1, 0, 0)))
        self.layers = nn.Sequential(*layers)

    def forward(self, past: Float[Tensor, "batch time channels height width"]) -> Float[Tensor, "batch features h w"]:
        """Return a map of the frames' resolution over `patch_size`."""
        patches = functional.pixel_unshuffle(past.flatten(0, 1), self.patch_size).unflatten(0, past.shape[:2])
        return self.layers(patches.transpose(1, 2)).mean(dim=2)
