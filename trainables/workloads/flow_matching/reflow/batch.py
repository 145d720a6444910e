"""A batch of reflow's pairs of noise and image."""

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from torch import Tensor


class ReflowBatch(TypedDict):
    """A batch of pairs."""

    image: "Tensor"
    """float32, [batch, channels, height, width], in [-1, 1]: the teacher's sample x_1."""
    noise: "Tensor"
    """float32, same shape: the noise x_0 it was made from."""
    label: "Tensor"
    """int64, [batch]: the class it was made for."""
