"""Both heart-sound stages on two processes: negatives of the other rank, and scores that do not depend on the ranks."""

import gzip
import json
import math

import pytest

from ray_jobs.runs.planning import build_plan
from ray_jobs.settings.experiment import Experiment, check_settings
from tests.distributed.launch import start_processes
from trainables.engine.files.checkpoints import find_checkpoint

DATA = {"sample_rate": 1000, "num_samples": 128, "synthetic": {"num_subjects": 12, "duration_s": 4.0}}
BAGS = {"pooling": {"cycles": "attention"}, "data": {**DATA, "cycles_per_bag": 3}}


def experiment_of(name: str, changes: dict, run_name: str, folder: str) -> Experiment:
    return check_settings(
        {
            "workload": {
                "name": f"heart_sound_{name}",
                "data": DATA,
                "encoder": {"channels": [4, 4, 6, 8], "num_layers": 1, "state_size": 2},
                **changes,
            },
            "training": {"epochs": 1, "batch_size": 8 if changes == BAGS else 32, "optimizer": {"learning_rate": 1e-9}},
            "scaling": {"num_workers": 0, "threads_per_worker": 1},
            "storage": {"path": folder},
            "tracking": {"run_name": run_name},
        },
        "here",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes", "expected", "same"),
    [
        # at a high temperature all views look alike, and the loss of both levels counts those of both ranks
        ("pretrain", {"contrast": {"temperature": 50}}, 2 * math.log(2 * 32 - 1), ["baseline/val/loss", "val/loss"]),
        pytest.param("finetune", {}, None, ["baseline/val/loss", "test/auroc"], marks=pytest.mark.faults),
        pytest.param("finetune", BAGS, None, ["baseline/val/loss", "test/auroc"], marks=pytest.mark.faults),
    ],
)
def test_two_workers_train_and_score_every_row_once(name, changes, expected, same, tmp_path):
    rows = []
    for num_workers in (1, 2):
        experiment = experiment_of(name, changes, f"w{num_workers}", str(tmp_path))
        experiment.folder.make()
        plan = build_plan(experiment)
        assert start_processes(plan, tmp_path, num_workers) == [0] * num_workers
        checkpoint, _ = find_checkpoint(plan.folder)
        history = gzip.decompress(plan.folder.read(f"{checkpoint}/history.jsonl.gz"))
        rows.append([json.loads(line) for line in history.splitlines()])
    one, two = rows
    assert len(one) == len(two)
    assert two[0]["train/loss"] == pytest.approx(one[0]["train/loss"] if expected is None else expected, abs=0.2)
    for metric in same:
        assert two[-1][metric] == pytest.approx(one[-1][metric], abs=0.15), metric
