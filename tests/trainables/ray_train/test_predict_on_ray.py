"""Prediction on a cluster gives the files and tables of one process."""

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.storage.folder import Folder
from tests.saved_models import save_untrained
from trainables.inference.loading import read_options
from trainables.inference.model_files import open_model
from trainables.inference.predict_folder import PredictionPlan, predict_folder, work_here
from trainables.ray_train.predict_on_ray import work_on_ray

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.filterwarnings("default")]
SETTINGS = {
    "name": "super_resolution",
    "data": {"scales": [2], "lr_patch_size": 12},
    "network": {"name": "edsr", "num_blocks": 1, "num_channels": 8},
}


def test_two_workers_write_what_one_process_writes(tmp_path, ray_cluster):
    model = open_model(Folder(str(save_untrained(tmp_path / "run", SETTINGS, {}))))
    draws = np.random.default_rng(0)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(10):
        Image.fromarray(draws.integers(0, 256, (9 + number, 11, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
    (pictures / "bad.png").write_bytes(b"no picture")
    tables = []
    for name in ("here", "ray"):
        plan = PredictionPlan(model, read_options(model, {}), Folder(str(tmp_path / name)))
        here = work_here(plan, torch.device("cpu"))
        work = here if name == "here" else work_on_ray(plan, num_workers=2, cpus=1.0, gpus=0.0)
        summary = predict_folder(plan, Folder(str(pictures)), work, on_bad_file="skip")
        tables.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.suffix != ".json"})
        assert summary["predicted"] == 10 and list(summary["faults"]) == ["bad.png"]
    assert tables[0] == tables[1] and len(tables[0]) == 11
