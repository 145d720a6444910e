"""Unlabelled, oblong pictures: prepared, and shaped as a network of flow matching gets them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.ray_dataset import open_split
from data_pipelines.storage.folder import Folder
from trainables.run import validate_strictly
from trainables.workloads.pruning.config import PruningData


def test_oblong_pictures_keep_their_sides(tmp_path: Path) -> None:
    for number in range(4):
        pixels = np.zeros((10, 40, 3), np.uint8)
        pixels[:, :20] = 40 + number  # the left half
        (tmp_path / "raw").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "raw" / f"{number}.png")
    settings = {"source": "unlabelled", "path": str(tmp_path / "raw"), "size": [4, 12]}
    pipeline, folder = ImagePipeline(validate_strictly(ImageData, settings)), Folder(str(tmp_path / "prepared"))
    manifest = prepare(pipeline, folder)
    assert pipeline.key.startswith("unlabelled-3x4x12")
    assert dict(manifest.data_spec) == {"channels": 3, "height": 4, "width": 12, "class_names": ["image"]}
    batch = pipeline.collate(open_split(folder, manifest, "train").load(0, pipeline))
    assert batch["image"].shape == (3, 3, 4, 12) and torch.equal(batch["label"], torch.zeros(3, dtype=torch.int64))
    # 40 x 10 covers 12 x 4 at a height of 4, of whose 16 columns the middle twelve stay
    assert bool((batch["image"][..., :4] >= 40).all()) and bool((batch["image"][..., 8:] == 0).all())


@pytest.mark.parametrize("size", [[4], [4, 5, 6], [3, 8], "[4, 8]"])
def test_other_sizes_are_refused(size: object) -> None:
    with pytest.raises(ValidationError):
        validate_strictly(ImageData, {"source": "folder", "path": "/raw", "size": size})


def test_pruning_needs_labels() -> None:
    with pytest.raises(ValidationError, match="`source: unlabelled` has no classes to tell apart"):
        PruningData(source="unlabelled", path=Path("/raw"), size=8)
