"""Both stages in the smallest size, without Ray."""

from typing import Any

import pytest

from ray_jobs.settings.experiment import Experiment, check_settings

DATA = {"sample_rate": 1000, "num_samples": 128, "synthetic": {"num_subjects": 12, "duration_s": 4.0}}
ENCODER = {"channels": [4, 4, 6, 8], "num_layers": 1, "state_size": 2, "dropout": 0.1}


@pytest.fixture
def stage(tmp_path):
    """An experiment of one stage, with workload settings replaced."""

    def build(name: str, run_name: str, workload: dict[str, Any], **training: Any) -> Experiment:
        settings = {
            "workload": {
                "name": f"heart_sound_{name}",
                "encoder": ENCODER,
                **workload,
                "data": {**DATA, **workload.get("data", {})},
            },
            "training": {"epochs": 1, "batch_size": 16, "optimizer": {"learning_rate": 1e-2}, **training},
            "scaling": {"num_workers": 0, "threads_per_worker": 1},
            "storage": {"path": str(tmp_path)},
            "tracking": {"run_name": run_name},
        }
        return check_settings(settings, "here")

    return build
