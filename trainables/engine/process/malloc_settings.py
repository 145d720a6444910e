"""How glibc keeps freed memory, in a process that was started without the settings of a training worker."""

import ctypes
import os
import platform

VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""glibc gives large buffers back to the system after every step and faults them in again: a tenth of a CPU step."""
_OPTIONS = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}
"""The same in malloc.h."""
_LARGEST = 2**31 - 1


def set_malloc_thresholds() -> None:
    """What `VARIABLES` do when a process starts, afterwards; nothing where one of them is set, or without glibc."""
    if VARIABLES.keys() & os.environ.keys() or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for name, value in VARIABLES.items():
        libc.mallopt(_OPTIONS[name], min(int(value), _LARGEST))
