"""The bare loop in the workers of a plain TorchTrainer: the limit for two workers that share two cores with Ray."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.minimal_trainer import fit


def measure(num_workers: int, **arguments: Any) -> dict[str, Any]:
    """What `bare_loop.measure` finds in the first of the workers, each on its part of the batch."""
    arguments["settings"]["training"]["batch_size"] //= num_workers
    return fit(_work, arguments, num_workers=num_workers)


def _work(config: dict[str, Any]) -> dict[str, Any]:
    import ray.train.torch

    from benchmarks import bare_loop

    return bare_loop.measure(**config, wrap=ray.train.torch.prepare_model)


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(Path(sys.argv[1]).read_text()))))
