"""A measurement in a process of its own, and what it and all that it starts take of memory."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ray_jobs.cluster.connection import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
INTERVAL_S = 0.2


def run_module(module: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The JSON object in the last line that `python -m MODULE FILE` prints, and `peak_mib` of all its processes.

    Every measurement has the allocator settings that our workers have, or L0 would be no limit. `began` in the
    arguments is the time of the start, in seconds since the epoch.
    """
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        file, output = Path(temporary, "arguments.json"), Path(temporary, "output")
        file.write_text(json.dumps({**arguments, "began": time.time()}))
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(file)],
                cwd=ROOT,
                env={**os.environ, **SETTINGS},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            peak = 0.0
            while process.poll() is None:
                peak = max(peak, memory_mib(process.pid))
                time.sleep(INTERVAL_S)
        if process.returncode:
            raise RuntimeError(f"{module} failed:\n{output.read_text()[-2000:]}")
        return {**json.loads(output.read_text().splitlines()[-1]), "peak_mib": peak}


def memory_mib(pid: int) -> float:
    """Private memory of all processes, and the shared memory of the one that shares most: the object store's pages."""
    total = shared = 0
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                memory = process.memory_info()
                total += memory.rss - memory.shared
                shared = max(shared, memory.shared)
    return (total + shared) / 2**20
