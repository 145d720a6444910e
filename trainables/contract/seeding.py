"""Random streams that depend on a seed and a purpose alone, never on the global random state."""

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """Derive a 63-bit seed from a run's seed and the words or numbers that name the purpose."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def build_numpy_generator(*parts: int | str) -> np.random.Generator:
    """Build a NumPy generator, seeded by `derive_seed`."""
    return np.random.Generator(np.random.PCG64(derive_seed(*parts)))


def seeded_generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """Build a CPU generator; other seeds, purposes, or indices give independent streams.

    Draw on the CPU and then move the result, so that it is the same on every device.
    """
    words = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), index]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(words[0]) << 31 | int(words[1]) >> 1)


@contextmanager
def seeded_initialisation(seed: int, purpose: str) -> Iterator[None]:
    """Make the weights of modules built inside the block on the CPU depend on the arguments alone.

    The global random state is restored. Only that of the CPU is touched; `torch.manual_seed` would also seed the
    accelerators.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.set_rng_state(seeded_generator(seed, purpose).get_state())
        yield
