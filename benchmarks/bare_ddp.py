"""The bare loop in two processes under torch's own DistributedDataParallel, without Ray: the limit for two workers."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from benchmarks.bare_loop import measure

NUM_PROCESSES = 2


def work(rank: int, folder: str, arguments: dict[str, Any]) -> None:
    """One rank, on its part of the batch; rank 0 writes what it measured."""
    address = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=NUM_PROCESSES)
    found = measure(**arguments, wrap=DistributedDataParallel)
    if rank == 0:
        Path(folder, "found.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


def main() -> None:
    """Do what the arguments file says."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    arguments["settings"]["training"]["batch_size"] //= NUM_PROCESSES
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as folder:
        torch.multiprocessing.spawn(work, (folder, arguments), nprocs=NUM_PROCESSES)  # pyright: ignore
        print(Path(folder, "found.json").read_text())


if __name__ == "__main__":
    main()
