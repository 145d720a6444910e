"""Random draws for the rows of a batch, which follow from each row's place and not from the worker that holds it.

The rows of a global batch are numbered by their places; each block of consecutive places has a generator of its own.
A worker draws the blocks in which its rows lie, so that any number of workers draws the same numbers for a row.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

BLOCK = 8
"""Places of one block: more cost less time for each row, and more draws where a worker holds few rows."""
WHOLE_BATCH = -1
"""Block of the draws that all rows share."""
SeedOf = Callable[[int], int]
"""Seed of a block."""


class _Blocks:
    """Blocks of some places."""

    def __init__(self, places: Sequence[int] | np.ndarray, seed_of: SeedOf) -> None:
        places = np.asarray(places, np.int64)
        blocks, within = np.divmod(places, BLOCK)
        is_held = np.zeros(blocks.max(initial=-1) + 1, np.int64)
        is_held[blocks] = 1
        self.numbers = is_held.nonzero()[0]
        self.index = (is_held.cumsum() - 1)[blocks] * BLOCK + within
        """Place of each row among the rows of all blocks."""
        self.seed_of = seed_of


class NumpyDraws:
    """Draws of NumPy for the rows of a micro-batch, on the host."""

    def __init__(self, places: Sequence[int] | np.ndarray, seed_of: SeedOf) -> None:
        """Begin to draw for rows at these places of the global batch; the blocks of each step need own seeds."""
        self._places, self._seed_of = places, seed_of

    @cached_property
    def _blocks(self) -> _Blocks:
        return _Blocks(self._places, self._seed_of)

    @cached_property
    def _generators(self) -> list[np.random.Generator]:
        return [_numpy_generator(self._blocks.seed_of(int(number))) for number in self._blocks.numbers]

    def uniform(self, *shape: int) -> np.ndarray:
        """Draw from [0, 1), float64, [rows, *shape]."""
        drawn = [generator.random((BLOCK, *shape)) for generator in self._generators]
        return np.concatenate(drawn)[self._blocks.index]

    def integers(self, high: int, *shape: int) -> np.ndarray:
        """Draw whole numbers from 0 to `high` - 1, int64, [rows, *shape]."""
        drawn = [generator.integers(high, size=(BLOCK, *shape)) for generator in self._generators]
        return np.concatenate(drawn)[self._blocks.index]

    def for_batch(self) -> np.random.Generator:
        """Return a generator that is the same for all rows of the step, on every worker; each call begins it anew."""
        return _numpy_generator(self._seed_of(WHOLE_BATCH))


class TorchDraws:
    """Draws of torch for the rows of a micro-batch, on its device."""

    def __init__(
        self, places: Sequence[int] | np.ndarray, seed_of: SeedOf, device: "torch.device | str" = "cpu"
    ) -> None:
        """Begin to draw as `NumpyDraws` does, on a device."""
        import torch

        self._torch, self.device = torch, torch.device(device)
        self._places = np.asarray(places, np.int64)
        self._blocks = _Blocks(places, seed_of)

    @cached_property
    def _generators(self) -> "list[torch.Generator]":
        return [self._generator(int(number)) for number in self._blocks.numbers]

    @cached_property
    def _index(self) -> "torch.Tensor":
        return self._torch.from_numpy(self._blocks.index).to(self.device, non_blocking=True)

    def normal(self, *shape: int) -> "torch.Tensor":
        """Draw from the normal distribution, float32, [rows, *shape]."""
        return self._draw(shape, self._torch.float32, lambda block, generator: block.normal_(generator=generator))

    def uniform(self, *shape: int) -> "torch.Tensor":
        """Draw from [0, 1), float32, [rows, *shape]."""
        return self._draw(shape, self._torch.float32, lambda block, generator: block.uniform_(generator=generator))

    def integers(self, high: int, *shape: int) -> "torch.Tensor":
        """Draw whole numbers from 0 to `high` - 1, int64, [rows, *shape]."""
        return self._draw(
            shape, self._torch.int64, lambda block, generator: block.random_(0, high, generator=generator)
        )

    def for_parts(self, count: int) -> "TorchDraws":
        """Return draws for `count` parts of each row, row by row: [rows * count, ...] in the place of [rows, ...].

        They begin anew; draw for the rows or for their parts, not for both.
        """
        places = self._places[:, None] * count + np.arange(count)
        return TorchDraws(places.ravel(), self._blocks.seed_of, self.device)

    def for_batch(self) -> "torch.Generator":
        """Return a generator that is the same for all rows of the step, on every worker; each call begins it anew."""
        return self._generator(WHOLE_BATCH)

    def _draw(
        self,
        shape: tuple[int, ...],
        dtype: "torch.dtype",
        fill: "Callable[[torch.Tensor, torch.Generator], torch.Tensor]",
    ) -> "torch.Tensor":
        drawn = self._torch.empty(len(self._generators), BLOCK, *shape, dtype=dtype, device=self.device)
        for block, generator in zip(drawn, self._generators, strict=True):
            fill(block, generator)
        return drawn.flatten(0, 1).index_select(0, self._index)

    def _generator(self, block: int) -> "torch.Generator":
        return self._torch.Generator(self.device).manual_seed(self._blocks.seed_of(block))


def numpy_draws(num_rows: int, seed: int) -> NumpyDraws:
    """Return draws for a batch by itself, as tests and benchmarks need it."""
    return NumpyDraws(range(num_rows), lambda block: seed * 2**20 + block + 1)


def torch_draws(num_rows: int, seed: int, device: "torch.device | str" = "cpu") -> TorchDraws:
    """Return draws for a batch by itself, as tests and benchmarks need it."""
    return TorchDraws(range(num_rows), lambda block: seed * 2**20 + block + 1, device)


def _numpy_generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
