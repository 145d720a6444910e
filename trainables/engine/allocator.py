"""How glibc keeps freed memory, in a process that was started without the settings of a training worker."""

import ctypes
import os
import platform

VARIABLES = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""glibc gives large buffers back to the system after every step and faults them in again: a tenth of a CPU step."""
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def keep_freed_buffers() -> None:
    """What `VARIABLES` do when a process starts, afterwards; nothing where one of them is set, or without glibc."""
    if VARIABLES.keys() & os.environ.keys() or platform.libc_ver()[0] != "glibc":
        return
    libc = ctypes.CDLL(None)
    for option, name in ((_M_MMAP_THRESHOLD, "MALLOC_MMAP_THRESHOLD_"), (_M_TRIM_THRESHOLD, "MALLOC_TRIM_THRESHOLD_")):
        libc.mallopt(option, min(int(VARIABLES[name]), _LARGEST))
