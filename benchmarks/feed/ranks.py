"""Several processes of one measurement without Ray, as a launcher of torch.distributed would start them."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist


def free_port() -> int:
    """Return a port of this machine that nobody listens at."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


@contextmanager
def joined_ranks(module: str, world_size: int) -> Iterator[int]:
    """Start the module again with the same arguments for every further rank; yields this process's rank.

    The process group is open inside, if there are several.
    """
    if world_size == 1:
        yield 0
        return
    others: list[subprocess.Popen] = []
    if "RANK" not in os.environ:
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(world_size)}
        os.environ.update({**variables, "LOCAL_WORLD_SIZE": str(world_size), "NODE_RANK": "0"})
        for rank in range(1, world_size):
            environment = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            others.append(subprocess.Popen([sys.executable, "-m", module, *sys.argv[1:]], env=environment))
        os.environ.update({"RANK": "0", "LOCAL_RANK": "0"})
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()
        for other in others:
            other.wait()
