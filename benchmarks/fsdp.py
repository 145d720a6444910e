"""A part of each parameter against a copy of all of them: memory of each of two workers, and seconds per step.

python -m benchmarks.fsdp [--repeats 2] [--steps 4]

Our own steps (loss, backward, clipping, AdamW, EMA) on one batch in memory, in two processes of one thread under gloo,
without Ray; seed 0, float32. `ddp` gives each a copy, `fsdp` a part; `again` computes the activations inside blocks
again. Held are weights, gradients, moments and EMA in the tensors of worker 0 after a step, before gradients are
dropped; the peak is that of its resident memory during the steps, over what it was before the network was built, so
that activations and gathered blocks are in it. Of the steps after the first: the quickest, and the median of the
processor's seconds, which other load on the machine leaves as they are. On two cores of one machine the traffic between
workers is memory copies, and gloo has no kernel of its own that reduces and scatters: the seconds tell what it costs
here, not over a network of GPUs.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.results import save_results
from data_pipelines.contract.row_draws import numpy_draws, torch_draws
from trainables.contract.training_config import Training
from trainables.engine.process.collectives import is_sharded
from trainables.engine.step.train_step import Length, Optimization, StepPart
from trainables.workloads import WORKLOADS, build_pipeline, config_class

NUM_PROCESSES = 2
BATCH_SIZE = 16
"""Over both workers."""
DATA = {"source": "cifar10", "path": "/nowhere"}
CASES: dict[str, dict[str, Any]] = {
    "pruning's vit_small": {"name": "pruning", "arch": "vit_small", "struct": "refill", "data": DATA},
    "the U-Net of flow matching": {"name": "flow_matching", "network": {"base_channels": 64}, "data": DATA},
}
WAYS = {"ddp": (False, False), "ddp, again": (False, True), "fsdp": (True, False), "fsdp, again": (True, True)}
"""Whether parameters are sharded, and activations computed again."""


def main() -> None:
    """Measure all, and print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    found = {case: {way: measure(case, way, options.repeats, options.steps) for way in WAYS} for case in CASES}
    save_results("fsdp", found)
    print(format_table(found))


def measure(case: str, way: str, repeats: int, num_steps: int) -> dict[str, Any]:
    """Return bytes held by kind, the peak in MiB and the seconds of a step of worker 0."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    runs: list[dict[str, Any]] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="quintet-bench-") as folder:
            torch.multiprocessing.spawn(work, (folder, case, way, num_steps), nprocs=NUM_PROCESSES)  # pyright: ignore
            runs.append(json.loads(Path(folder, "found.json").read_text()))
    found = {
        "held": runs[0]["held"],
        "peak_mib": statistics.median(run["peak_mib"] for run in runs),
        "step_s": min(seconds for run in runs for seconds in run["steps"]),
        "cpu_s": statistics.median(seconds for run in runs for seconds in run["cpu"]),
    }
    print(case, way, found, flush=True)
    return found


def work(rank: int, folder: str, case: str, way: str, num_steps: int) -> None:
    """One worker, on its half of the batch; the first writes what it found."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=NUM_PROCESSES)
    shards, computes_again = WAYS[way]
    before_mib = read_status_mib("VmRSS")
    settings = config_class(CASES[case]["name"]).model_validate(CASES[case])
    pipeline = build_pipeline(settings)
    task = WORKLOADS[settings.name].build_task(settings, pipeline.data_spec(), 0)
    training = Training.model_validate(
        {"max_steps": 100, "clip_norm": 1.0, "ema": {}, "activation_checkpointing": computes_again}
    )
    optimization = Optimization(
        task,
        training,
        length=Length(1, 100, 100),
        device=torch.device("cpu"),
        wrap=DistributedDataParallel,
        is_sharded=shards,
    )
    rows = pipeline.decode(pipeline.make_fake_rows(BATCH_SIZE // NUM_PROCESSES, seed=rank))
    part = StepPart(pipeline.collate_train(rows, numpy_draws(rows.num_rows, 0)), torch_draws(rows.num_rows, rank))
    held: dict[str, int] = {}
    seconds, cpu = [], []
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    for _ in range(num_steps + 1):
        start, used = time.perf_counter(), time.process_time()
        optimization.step(
            [part], lambda module: held.update(gradients=count_bytes(p.grad for p in module.parameters()))
        )
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - used)
    held |= count_held(optimization)
    if rank == 0:
        peak_mib = read_status_mib("VmHWM") - before_mib
        found = {"steps": seconds[1:], "cpu": cpu[1:], "held": held, "peak_mib": peak_mib}
        Path(folder, "found.json").write_text(json.dumps(found))
    distributed.barrier()
    distributed.destroy_process_group()


def count_held(optimization: Optimization) -> dict[str, int]:
    """Bytes of this worker's weights, moments and EMA."""
    assert optimization.ema is not None
    moments = [value for state in optimization.optimizer.state.values() for value in state.values()]
    averaged: nn.Module = optimization.ema.module
    return {
        "weights": count_bytes(optimization.task.module.parameters()),
        "moments": count_bytes(moments),
        "ema": count_bytes(averaged.parameters()),
    }


def count_bytes(tensors: Any) -> int:
    """Bytes of this worker's parts."""
    parts: list[Tensor] = [each.to_local() if is_sharded(each) else each for each in tensors if each is not None]
    return sum(part.numel() * part.element_size() for part in parts)


def read_status_mib(name: str) -> float:
    """Read one of this process's figures of memory from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**10


def format_table(found: dict[str, Any]) -> str:
    """Return a row for each way, with what a worker holds in MiB."""
    kinds = ("weights", "gradients", "moments", "ema")
    lines = [f"| | | {' | '.join(kinds)} | together | peak over the start | step | processor |", "|" + " --- |" * 10]
    for case, ways in found.items():
        for way, each in ways.items():
            held = [each["held"][kind] / 2**20 for kind in kinds]
            cells = [f"{number:.1f} MiB" for number in (*held, sum(held))]
            cells += [f"{each['peak_mib']:.0f} MiB", f"{each['step_s']:.2f} s", f"{each['cpu_s']:.2f} s"]
            lines.append(f"| {case} | {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
