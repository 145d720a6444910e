"""L0, the limit: the same network, loss, optimiser, clipping and EMA on one batch in memory; plain PyTorch, no Ray."""

import json
import resource
import sys
import time
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ray_jobs.experiment import check_settings


def measure(settings: dict, num_blocks: int, steps_per_block: int, num_threads: int) -> dict[str, object]:
    """Seconds per step of each block, and the peak memory of this process in MiB."""
    experiment = check_settings(settings, origin="benchmark")
    torch.set_num_threads(num_threads)
    torch.manual_seed(0)
    pipeline = experiment.workload.build_pipeline()
    task = experiment.workload.build_task(pipeline.facts(), experiment.seed)
    module, generator = task.module.train(), torch.Generator().manual_seed(0)
    rows = pipeline.decode(pipeline.synthetic(experiment.training.batch_size, seed=0))
    batch = pipeline.augment(pipeline.collate(rows), generator=generator)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-4, weight_decay=0.01)
    ema = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9999))
    blocks = []
    for _ in range(num_blocks + 1):
        began = time.perf_counter()
        for _ in range(steps_per_block):
            task.loss(module, batch, generator=generator).loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            ema.update_parameters(module)
        blocks.append((time.perf_counter() - began) / steps_per_block)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"blocks": blocks[1:], "peak_memory_mib": peak}  # the first block warms up


if __name__ == "__main__":
    arguments = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps(measure(**arguments)))
