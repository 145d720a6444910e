"""Ray gets a checkpoint with the metrics of its own step."""

from typing import Any

from data_pipelines.storage.folder import Folder
from trainables.ray_train.reported_checkpoints import reported_metrics


def test_a_checkpoint_has_the_metrics_of_its_step(tmp_path):
    folder = Folder(str(tmp_path))
    folder.write_json("checkpoints/step_000000008/metadata.json", {"metrics": {"test/mse": 8.0}})
    report: Any = {"metrics": {"test/mse": 9.0}, "step": 9}
    assert reported_metrics(folder, report) == {"test/mse": 9.0, "step": 9}
    report["checkpoint"] = "checkpoints/step_000000008"
    assert reported_metrics(folder, report) == {"test/mse": 8.0, "step": 8}
    report["checkpoint"] = "checkpoints/step_000000009"
    assert reported_metrics(folder, report) == {"test/mse": 9.0, "step": 9}
