"""Padding to the multiples that networks with levels or tokens require."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def pad_to_multiple(
    x: Float[Tensor, "batch channels height width"], multiple: int
) -> Float[Tensor, "batch channels height width"]:
    """Reflect at the right and lower edge until both sides are multiples; the edge itself is not repeated.

    Raises ValueError for an image of one pixel to a side.
    """
    while (missing := [-side % multiple for side in x.shape[-2:]]) != [0, 0]:
        # a reflection is at most as long as the image without its edge; very small images take several
        down, right = (min(pad, side - 1) for pad, side in zip(missing, x.shape[-2:], strict=True))
        if (down, right) == (0, 0):
            raise ValueError(f"an image of {x.shape[-1]}x{x.shape[-2]} pixels is too small for this network")
        x = functional.pad(x, (0, right, 0, down), mode="reflect")
    return x
