"""L0, the limit: the same network, loss, optimiser, clipping and EMA on one batch in memory; plain PyTorch, no Ray."""

import json
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ray_jobs.experiment import check_settings


def measure(settings: dict[str, Any], num_blocks: int, steps_per_block: int, began: float) -> dict[str, Any]:
    """Seconds per step of each block after the first, which warms up, and from the start to the first step."""
    experiment = check_settings(settings, origin="benchmark")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pipeline = experiment.workload.build_pipeline()
    task = experiment.workload.build_task(pipeline.facts(), experiment.seed)
    module, generator = task.module.train(), torch.Generator().manual_seed(0)
    rows = pipeline.decode(pipeline.synthetic(experiment.training.batch_size, seed=0))
    batch = pipeline.augment(pipeline.collate(rows), generator=generator)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-4, weight_decay=0.01)
    ema = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9999))
    first_step, ends = time.time() - began, [time.perf_counter()]
    for _ in range(num_blocks + 1):
        for _ in range(steps_per_block):
            task.loss(module, batch, generator=generator).loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            ema.update_parameters(module)
        ends.append(time.perf_counter())
    blocks = [(end - start) / steps_per_block for start, end in pairwise(ends[1:])]
    return {
        "blocks": blocks,
        "wall_step_s": (ends[-1] - ends[1]) / (num_blocks * steps_per_block),
        "first_s": first_step,
    }


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(Path(sys.argv[1]).read_text()))))
