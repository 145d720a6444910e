"""The x8 self-ensemble: the mean over the eight dihedral states of an image (Timofte et al. 2016)."""

from collections.abc import Callable
from itertools import product

from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "batch channels height width"]


def ensemble(upscale: Callable[[Image], Image], image: Image) -> Image:
    """Enlarge each state, turn it back, and return the mean of the eight."""
    total: Tensor | None = None
    for is_transposed, dims in product((False, True), ((), (-1,), (-2,), (-2, -1))):
        state = image.flip(dims)
        enlarged = upscale(state.transpose(-2, -1) if is_transposed else state)
        turned_back = (enlarged.transpose(-2, -1) if is_transposed else enlarged).flip(dims)
        total = turned_back if total is None else total.add_(turned_back)
    assert total is not None
    return total / 8
