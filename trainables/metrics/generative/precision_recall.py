"""Precision and recall of generated samples by nearest neighbours (Kynkaanniemi et al. 2019)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

NEIGHBOUR = 3
"""As published."""
_CHUNK = 1024
"""Rows whose distances to all others are held at a time."""


@dataclass(frozen=True)
class PrecisionRecall:
    """Both in 0..1, larger is better."""

    precision: float
    """Share of generated samples that lie among the real ones: their quality."""
    recall: float
    """Share of real samples that lie among the generated ones: their variety."""


def compute_precision_recall(
    real: Float[Tensor, "rows dim"], generated: Float[Tensor, "rows dim"], *, neighbour: int = NEIGHBOUR
) -> PrecisionRecall:
    """Compute both from the features of as many real as generated samples (Kynkaanniemi et al. 2019, eq. 1 and 2).

    A sample lies among others when it is in the ball around one of these whose radius is the distance to that one's
    `neighbour`-th nearest among its own. Both depend on the number of samples.

    Raises:
        ValueError: The sets differ in size, or hold too few rows.
    """
    if len(real) != len(generated) or len(real) <= neighbour:
        raise ValueError(
            f"precision and recall need as many real as generated samples, more than {neighbour}; there are "
            f"{len(real)} and {len(generated)}"
        )
    return PrecisionRecall(
        precision=float(_lies_among(generated, real, neighbour).double().mean()),
        recall=float(_lies_among(real, generated, neighbour).double().mean()),
    )


def _lies_among(
    samples: Float[Tensor, "rows dim"], others: Float[Tensor, "rows dim"], neighbour: int
) -> Bool[Tensor, " rows"]:
    samples, others = samples.double(), others.double()
    # the nearest of all is the row itself
    radii = torch.cat([_distances(part, others).kthvalue(neighbour + 1).values for part in others.split(_CHUNK)])
    return torch.cat([(_distances(part, others) <= radii).any(dim=1) for part in samples.split(_CHUNK)])


def _distances(first: Tensor, second: Tensor) -> Float[Tensor, "rows others"]:
    """Compute by differences: by products the distance of equal rows would not be 0."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
