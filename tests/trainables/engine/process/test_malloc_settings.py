"""Freed buffers stay with the process: counted in the pages that are faulted in again."""

import os
import platform
import subprocess
import sys

import pytest

from trainables.engine.process.malloc_settings import VARIABLES

pytestmark = pytest.mark.slow

CODE = """
import resource, sys
import torch
from trainables.engine.process.malloc_settings import set_malloc_thresholds
if sys.argv[1:]:
    set_malloc_thresholds()
for number in range(8):
    if number == 5:  # by then all have found a place
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    buffers = [torch.ones(40 * 2**18) for _ in range(3)]  # 40 MiB, above all that glibc keeps by itself
    del buffers
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def count_faults(*arguments: str, **variables: str) -> int:
    own = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    command = [sys.executable, "-c", CODE, *arguments]
    return int(subprocess.run(command, env={**own, **variables}, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators are left as they are")
def test_freed_buffers_are_reused_unless_the_user_set_malloc():
    given_back = count_faults()
    assert 5 * count_faults("keep") < given_back
    assert 5 * count_faults(**VARIABLES) < given_back, "as with the settings of a worker"
    assert 2 * count_faults("keep", MALLOC_TRIM_THRESHOLD_="100000") > given_back


def test_arrow_takes_its_buffers_from_malloc():
    code = """
import pyarrow as pa
from trainables.engine.process.malloc_settings import take_arrow_buffers_from_malloc
take_arrow_buffers_from_malloc()
print(pa.default_memory_pool().backend_name)
"""

    def name_pool(**variables: str) -> str:
        environment = {**os.environ, **variables}
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()

    assert name_pool() == "system"
    assert name_pool(ARROW_DEFAULT_MEMORY_POOL="mimalloc") == "mimalloc"
