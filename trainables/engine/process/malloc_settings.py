"""Freed memory stays with a training process: glibc's thresholds, and Arrow's buffers from glibc too."""

import ctypes
import os
import platform

import pyarrow as pa

VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""Without them glibc returns large buffers to the system after every step and faults them in again: a tenth of a CPU
step."""
ARROW_POOL = "ARROW_DEFAULT_MEMORY_POOL"
"""Arrow's variable for the allocator of its buffers."""
_OPTIONS = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}
"""Numbers of the same options in malloc.h."""
_LARGEST = 2**31 - 1


def set_malloc_thresholds() -> None:
    """Set glibc's mmap and trim thresholds as `VARIABLES` would at process start.

    Does nothing if either variable is set, or if the C library is not glibc.
    """
    if VARIABLES.keys() & os.environ.keys() or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for name, value in VARIABLES.items():
        libc.mallopt(_OPTIONS[name], min(int(value), _LARGEST))


def take_arrow_buffers_from_malloc() -> None:
    """Let Arrow allocate by malloc, unless its variable says otherwise.

    Its own allocator gives what a window of rows took back to the system, which faults it in again for the next one.
    """
    if ARROW_POOL not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())
