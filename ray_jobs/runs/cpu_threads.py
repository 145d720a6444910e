"""Number of CPUs that this process may use, which is often less than the machine has."""

import os
from pathlib import Path

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1_LIMIT = (Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
VARIABLE = "OMP_NUM_THREADS"


def count_usable_cpus() -> tuple[int, str]:
    """Return the number of CPUs for one training process, at least 1, and what decided it.

    OMP_NUM_THREADS decides when it is set to a number; else the least of the process's affinity and of the limit of its
    control group.
    """
    given = os.environ.get(VARIABLE, "")
    if given.isdecimal() and int(given) > 0:
        return int(given), VARIABLE
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _cgroup_cpus()
    if limit is not None and limit < affinity:
        return max(int(limit), 1), "the limit of the control group"
    is_part = affinity < (os.cpu_count() or 1)
    return affinity, "the CPU affinity of the process" if is_part else "the CPUs of the machine"


def _cgroup_cpus() -> float | None:
    """Return the quota in CPUs; None when there is none, or no control group."""
    try:
        if CGROUP_LIMIT.exists():
            quota, period = CGROUP_LIMIT.read_text().split()
        else:
            quota, period = (file.read_text().strip() for file in CGROUP_V1_LIMIT)
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):
        return None
