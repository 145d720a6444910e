"""The Frechet distance between two Gaussians, the distance behind FID (Heusel et al. 2017, eq. 6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Float64
from torch import Tensor


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution over features."""

    mean: Float64[Tensor, " dim"]
    covariance: Float64[Tensor, "dim dim"]

    def state_dict(self) -> dict[str, Tensor]:
        """Return CPU tensors."""
        return {"mean": self.mean.cpu(), "covariance": self.covariance.cpu()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> Self:
        return cls(mean=state["mean"], covariance=state["covariance"])


class RunningMoments:
    """Count, sum, and sum of outer products of rows, in float64, so that ranks can be added before the division.

    The sums are not shifted: relative to the variance the rounding error is about 1e-16 mean^2 / variance.
    """

    def __init__(self, dim: int, device: torch.device | str = "cpu") -> None:
        self.count = torch.zeros((), dtype=torch.float64, device=device)
        self.sum = torch.zeros(dim, dtype=torch.float64, device=device)
        self.outer = torch.zeros(dim, dim, dtype=torch.float64, device=device)

    def add(self, rows: Float[Tensor, "batch dim"]) -> None:
        rows = rows.double()
        self.count += len(rows)
        self.sum += rows.sum(dim=0)
        self.outer += rows.T @ rows

    def over_ranks(self, sum_over_ranks: Callable[[Tensor], Tensor]) -> Self:
        """Return the moments of all ranks' rows together; all ranks call it, as `sum_over_ranks` is a collective."""
        total = type(self)(len(self.sum), self.sum.device)
        packed = torch.cat([self.count.view(1), self.sum, self.outer.flatten()])
        count, total.sum, outer = sum_over_ranks(packed).split([1, self.sum.numel(), self.outer.numel()])
        total.count, total.outer = count[0], outer.view_as(self.outer)
        return total

    def gaussian(self) -> Gaussian:
        """Return mean and unbiased covariance (division by count - 1). Raises ValueError below two rows."""
        if self.count < 2:
            raise ValueError(f"{int(self.count)} rows were given; a covariance needs at least 2")
        mean = self.sum / self.count
        centred = self.outer - self.count * torch.outer(mean, mean)
        return Gaussian(mean=mean, covariance=centred / (self.count - 1))


def compute_frechet_distance(p: Gaussian, q: Gaussian) -> float:
    """Compute |mu_p - mu_q|^2 + tr(S_p + S_q - 2 (S_p S_q)^(1/2)), at least 0; singular covariances are allowed.

    tr (S_p S_q)^(1/2) is the sum of the square roots of the eigenvalues of the symmetric S_p^(1/2) S_q S_p^(1/2),
    which has the same eigenvalues as S_p S_q and, unlike it, no complex ones.
    """
    p, q = _on_cpu(p), _on_cpu(q)
    values, vectors = torch.linalg.eigh(p.covariance)
    root = (vectors * _without_rounding_noise(values).sqrt()) @ vectors.T
    product = root @ q.covariance @ root
    eigenvalues = _without_rounding_noise(torch.linalg.eigvalsh((product + product.T) / 2))
    distance = (p.mean - q.mean).square().sum() + p.covariance.trace() + q.covariance.trace()
    return max(0.0, float(distance - 2 * eigenvalues.sqrt().sum()))


def _on_cpu(gaussian: Gaussian) -> Gaussian:
    mean, covariance = gaussian.mean.double().cpu(), gaussian.covariance.double().cpu()
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise ValueError("the mean or the covariance of the features is not finite; a distance needs finite features")
    return Gaussian(mean=mean, covariance=(covariance + covariance.T) / 2)


def _without_rounding_noise(eigenvalues: Tensor) -> Tensor:
    """Set eigenvalues of a positive semi-definite matrix that are zero up to rounding to zero.

    A square root would lift noise of 1e-16 to 1e-8 for each dimension that the features do not use.
    """
    noise = eigenvalues.abs().max() * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps
    return torch.where(eigenvalues > noise, eigenvalues, 0.0)
