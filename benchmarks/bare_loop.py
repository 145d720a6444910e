"""L0, the limit: the same network, loss, optimiser, clipping and EMA on one batch in memory; plain PyTorch, no Ray.

On the GPU where there is one, with the precision, compilation and memory format that the settings ask for.
"""

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from data_pipelines.contract.row_draws import numpy_draws, torch_draws
from ray_jobs.settings.experiment import check_settings
from trainables.engine.process.system_monitor import SystemMonitor
from trainables.workloads import build_pipeline, build_task


def measure(
    settings: dict[str, Any],
    num_blocks: int,
    steps_per_block: int,
    began: float,
    wrap: Callable[[nn.Module], nn.Module] = lambda module: module,
) -> dict[str, Any]:
    """Seconds per step of each block after the first, which warms up, and from the start to the first step.

    `wrap` makes the module distributed.
    """
    experiment = check_settings(settings, origin="benchmark")
    training, device = experiment.training, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    pipeline = build_pipeline(experiment.workload)
    task = build_task(experiment.workload, pipeline.data_spec(), experiment.seed)
    memory_format: Any = torch.channels_last if training.channels_last else torch.preserve_format
    module = task.module.to(device, memory_format=memory_format).train()  # pyright: ignore
    rows = pipeline.decode(pipeline.make_fake_rows(training.batch_size, seed=0))
    host, draws = pipeline.collate_train(rows, numpy_draws(rows.num_rows, 0)), torch_draws(rows.num_rows, 0, device)
    batch = pipeline.augment({name: tensor.to(device) for name, tensor in host.items()}, draws=draws)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-4, weight_decay=0.01, fused=True)
    ema = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(0.9999))
    called: Any = torch.compile(wrap(module)) if training.compile else wrap(module)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=training.precision == "bf16")
    first_step, ends = time.time() - began, [time.perf_counter()]
    with SystemMonitor(device) if device.type == "cuda" else nullcontext() as monitor:
        for _ in range(num_blocks + 1):
            for _ in range(steps_per_block):
                with autocast:
                    loss = task.loss(called, batch, draws=draws).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
                ema.update_parameters(module)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if monitor and len(ends) == 1:
                monitor.lap()
            ends.append(time.perf_counter())
        sample = monitor.lap() if monitor else {}
    return {
        "blocks": [(end - start) / steps_per_block for start, end in pairwise(ends[1:])],
        "wall_step_s": (ends[-1] - ends[1]) / (num_blocks * steps_per_block),
        "first_s": first_step,
        "gpu_percent": sample.get("gpu_utilization_percent"),
    }


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(Path(sys.argv[1]).read_text()))))
