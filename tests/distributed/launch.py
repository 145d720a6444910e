"""Starts the engine in several processes with gloo, without Ray: what a TorchTrainer does, in a second."""

import multiprocessing
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from trainables.plan import Plan

ROOT = Path(__file__).resolve().parents[2]


def start_processes(plan: Plan, folder: Path, num_workers: int = 2) -> list[int]:
    """Train the plan on `num_workers` processes; returns their exit codes. `folder` is for the plan."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    file = folder / "plan.pickle"
    file.write_bytes(pickle.dumps(plan))
    command = [sys.executable, "-m", "tests.distributed.launch", str(file), str(num_workers), str(port)]
    processes = [subprocess.Popen([*command, str(rank)], cwd=ROOT) for rank in range(num_workers)]
    codes = []
    for process in processes:
        codes.append(process.wait(timeout=120))
    return codes


def spawn_ranks(work: Callable[[int, str], None], folder: str) -> None:
    """Call `work` with a rank and the folder in each of two new processes, and wait for their ends."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)


def _work(file: Path, num_workers: int, port: int, rank: int) -> None:
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    from trainables.engine.loop.loop import run_training
    from trainables.ray_train import worker_main
    from trainables.ray_train.row_sources import build_local_sources

    plan: Plan = pickle.loads(file.read_bytes())
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=num_workers)
    process = worker_main.Runtime(torch.device("cpu"), DistributedDataParallel, lambda report: None)
    pipeline = plan.workload.build_pipeline(plan.run.workload)
    worker_main._work(plan, pipeline, build_local_sources, run_training, process)
    dist.destroy_process_group()
    sys.stderr.flush()
    # a process that is done may still abort while it ends, by gloo's threads: github.com/pytorch/pytorch/issues/190489
    os._exit(0)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5]))
