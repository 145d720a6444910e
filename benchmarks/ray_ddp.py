"""The bare loop in the workers of a plain TorchTrainer: the limit for two workers that share two cores with Ray."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def measure(num_workers: int, **arguments: Any) -> dict[str, Any]:
    """What `bare_loop.measure` finds in the first of the workers, each on its part of the batch."""
    import ray
    import ray.train.torch

    arguments["settings"]["training"]["batch_size"] //= num_workers
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    ray.init(include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory(prefix="quintet-bench-") as folder:
        result = ray.train.torch.TorchTrainer(
            _work,
            train_loop_config=arguments,
            scaling_config=ray.train.ScalingConfig(num_workers=num_workers),
            run_config=ray.train.RunConfig(storage_path=folder),
        ).fit()
    found: Any = result.return_value
    return found


def _work(config: dict[str, Any]) -> dict[str, Any]:
    import ray.train.torch

    from benchmarks import bare_loop

    return bare_loop.measure(**config, wrap=ray.train.torch.prepare_model)


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(Path(sys.argv[1]).read_text()))))
