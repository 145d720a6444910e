"""A Mamba block (Gu and Dao 2023, figure 3) in plain PyTorch."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from trainables.workloads.heart_sound.networks.selective_scan import selective_scan

Sequence3 = Float[Tensor, "batch time channels"]
DT_RANGE = (0.001, 0.1)
KERNEL = 4


class MambaLayer(nn.Module):
    """Residual layer: x + Mamba(RMSNorm(x)), with dropout on the branch."""

    def __init__(self, width: int, *, state_size: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.mamba = Mamba(width, state_size=state_size, expansion=expansion)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Sequence3) -> Sequence3:
        return x + self.dropout(self.mamba(self.norm(x)))


class Mamba(nn.Module):
    """Gated selective state-space layer; causal in time. The step size dt has rank 1, as in the original encoder."""

    def __init__(self, width: int, *, state_size: int, expansion: int) -> None:
        super().__init__()
        inner = expansion * width
        self.state_size = state_size
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, KERNEL, groups=inner, padding=KERNEL - 1)
        self.x_proj = nn.Linear(inner, 1 + 2 * state_size, bias=False)
        self.dt_proj = nn.Linear(1, inner)
        self.a_log = nn.Parameter(torch.arange(1, state_size + 1).float().log().repeat(inner, 1))
        self.d = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)
        self._start_dt(inner)

    def _start_dt(self, inner: int) -> None:
        """Initialise the bias so that softplus(bias) is log-uniform in DT_RANGE."""
        low, high = (math.log(value) for value in DT_RANGE)
        dt = torch.exp(low + (high - low) * torch.rand(inner))
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))

    def forward(self, x: Sequence3) -> Sequence3:
        values, gate = self.in_proj(x).chunk(2, dim=-1)
        values = self.conv(values.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        values = functional.silu(values)
        dt, b, c = self.x_proj(values).split([1, self.state_size, self.state_size], dim=-1)
        dt = functional.softplus(self.dt_proj(dt))
        y = selective_scan(values, dt, -torch.exp(self.a_log), b, c, self.d)
        return self.out_proj(y.to(gate.dtype) * functional.silu(gate))
