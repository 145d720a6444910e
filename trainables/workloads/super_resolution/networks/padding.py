"""Padding to the multiples that networks with levels or tokens require."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def pad_to_multiple(
    x: Float[Tensor, "batch channels height width"], multiple: int
) -> Float[Tensor, "batch channels height width"]:
    """Reflect at the right and lower edge until both sides are multiples; the edge itself is not repeated.

    What is longer than the image is reflected again. Raises ValueError for an image of one pixel to a side that would
    have to be reflected.
    """
    height, width = x.shape[-2:]
    if not torch.compiler.is_exporting():  # an exported network has one way for all sizes
        if height % multiple == 0 and width % multiple == 0:
            return x
        if min(height, width) == 1:
            raise ValueError(f"an image of {width}x{height} pixels is too small for this network")
    rows, columns = (_reflect(side, multiple, x.device) for side in (height, width))
    return x.index_select(-2, rows).index_select(-1, columns)


def crop(
    x: Float[Tensor, "batch channels padded_height padded_width"], height: int, width: int
) -> Float[Tensor, "batch channels height width"]:
    """Return the upper left part of an image."""
    if torch.compiler.is_exporting():  # a slice would be exported for either equal or smaller sizes
        return x.index_select(-2, torch.arange(height)).index_select(-1, torch.arange(width))
    return x[..., :height, :width]


def _reflect(side: int, multiple: int, device: torch.device) -> Int64[Tensor, " padded"]:
    """Return the place in the image of each place up to the next multiple: 0 .. side - 1, and back, and forth again."""
    last = side - 1
    period = torch.arange(2 * last, 2 * last + 1, device=device)
    places = torch.arange((side + multiple - 1) // multiple * multiple, device=device) % period
    return last - (places - last).abs()
