"""What runs in each training process: build the worker's surroundings, then the engine's loop."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from data_pipelines.pipeline import DataPipeline, Split
from data_pipelines.shards import cause_of
from trainables.engine.collectives import ProcessGroup
from trainables.engine.feed import Feed
from trainables.engine.loop import run_training
from trainables.engine.report import Report
from trainables.engine.rows import RowSource
from trainables.engine.worker import Worker
from trainables.plan import Plan
from trainables.sources import build_local_sources, build_ray_sources


class RunError(RuntimeError):
    """The run cannot go on, and starting it again would end the same way; the message is for the user."""


def train_locally(plan: Plan, report: Callable[[Report], None]) -> None:
    """Train in this process, without Ray. Raises RunError."""
    pipeline = plan.run.workload.build_pipeline()
    device = torch.device("cuda" if plan.uses_gpu else "cpu")
    _train(
        plan, pipeline, lambda: build_local_sources(plan, pipeline), device, wrap=lambda module: module, report=report
    )


def train_in_ray(config: dict[str, Any]) -> None:
    """The train function of a TorchTrainer; `config["plan"]` is the Plan."""
    import ray.train
    import ray.train.torch

    def wrap(module: nn.Module) -> nn.Module:
        return ray.train.torch.prepare_model(module, move_to_device=False)

    def report(content: Report) -> None:
        ray.train.report({"report": content} if ray.train.get_context().get_world_rank() == 0 else {})

    plan: Plan = config["plan"]
    pipeline = plan.run.workload.build_pipeline()
    device = ray.train.torch.get_device()
    _train(plan, pipeline, lambda: build_ray_sources(plan, pipeline), device, wrap=wrap, report=report)


def _train(
    plan: Plan,
    pipeline: DataPipeline,
    build_sources: Callable[[], dict[Split, RowSource]],
    device: torch.device,
    *,
    wrap: Callable[[nn.Module], nn.Module],
    report: Callable[[Report], None],
) -> None:
    training = plan.run.training
    torch.set_num_threads(plan.num_threads)
    torch.use_deterministic_algorithms(training.is_deterministic)
    torch.backends.cudnn.benchmark = not training.is_deterministic
    collectives = ProcessGroup(device)
    try:
        feed = Feed(
            pipeline,
            build_sources(),
            seed=plan.run.seed,
            batch_size=training.batch_size,
            accumulate=training.accumulate,
            rank=collectives.rank,
            world_size=collectives.world_size,
            device=device,
        )
        facts = plan.manifest.facts
        run_training(
            plan.run, Worker(plan.folder, collectives, device, wrap, report, pipeline, feed, facts, plan.run_id)
        )
    except Exception as error:
        if is_lost_peer(error):
            raise
        raise RunError(explain(error)) from error


def is_lost_peer(error: Exception) -> bool:
    """Whether a collective broke because another worker is gone; then a restart helps."""
    if isinstance(error, torch.distributed.DistError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in words for word in ("gloo", "nccl", "connection closed"))


def explain(error: Exception) -> str:
    """One paragraph for the user."""
    cause = cause_of(error)
    if isinstance(cause, torch.OutOfMemoryError | MemoryError):
        return f"out of memory: {cause}; lower training.batch_size or raise training.accumulate"
    if isinstance(cause, ValueError | ArithmeticError):
        return str(cause)
    return f"{type(cause).__name__}: {cause}"
