"""A measurement in a process of its own, and what it and all that it starts take of memory."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ray_jobs.cluster.connection import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
INTERVAL_S = 0.2
ERROR = re.compile(r"(\[rank\d+\]: )?[A-Za-z_.]+(Error|Exception)\b")
ASKED_AGAIN = 10.0
"""How many times as long as a look at the memory took the next one waits, at least."""


def run_module(
    module: str,
    arguments: dict[str, Any],
    *,
    python: str = sys.executable,
    memory: Callable[[int], float] | None = None,
) -> dict[str, Any]:
    """The JSON object in the last line that `python -m MODULE FILE` prints, and `peak_mib` of all its processes.

    Every measurement has the allocator settings that our workers have, or L0 would be no limit. `began` in the
    arguments is the time of the start, in seconds since the epoch.

    Args:
        module: The module.
        arguments: What the file holds, as JSON.
        python: The interpreter.
        memory: Mebibytes that a process takes with all that it started; by default `memory_mib`.
    """
    memory = memory or memory_mib
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as temporary:
        file, output = Path(temporary, "arguments.json"), Path(temporary, "output")
        file.write_text(json.dumps({**arguments, "began": time.time()}))
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [python, "-m", module, str(file)],
                cwd=ROOT,
                env={**os.environ, **SETTINGS},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            peak = 0.0
            while process.poll() is None:
                looked = time.monotonic()
                peak = max(peak, memory(process.pid))
                time.sleep(max(INTERVAL_S, ASKED_AGAIN * (time.monotonic() - looked)))
        if process.returncode:
            raise RuntimeError(f"{module} failed:\n{output.read_text()[-2000:]}")
        printed = [line for line in output.read_text().splitlines() if line.startswith("{")]  # Ray may print behind it
        return {**json.loads(printed[-1]), "peak_mib": peak}


def reason_of(error: Exception) -> str:
    """Return the line of a failed module's output that names the error, or else the last, without temporary paths."""
    lines = str(error).strip().splitlines()
    named = [line for line in lines if ERROR.match(line)]
    return re.sub(rf"{tempfile.gettempdir()}/\S*", "...", [*lines, *named][-1])[:200].replace("|", "/")


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


def pss_mib(pid: int) -> float:
    """Proportional set size of all processes: each page, also of shared memory and of mapped files, counts once."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with suppress(OSError):
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 2**10
