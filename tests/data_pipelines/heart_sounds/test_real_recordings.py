"""Real recordings, when QUINTET_HEART_DATA names the folder of `circor_2022`, `physionet_2016` and `pascal_2011`."""

import os
from pathlib import Path

import pytest

from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.pipeline import HeartPipeline
from data_pipelines.heart_sounds.tasks import TaskName

FOLDER = os.environ.get("QUINTET_HEART_DATA")
pytestmark = pytest.mark.skipif(FOLDER is None, reason="QUINTET_HEART_DATA names no folder of real heart sounds")
TASKS: tuple[TaskName | None, ...] = ("circor_murmur", "circor_outcome", "physionet2016", "pascal", None)


@pytest.mark.parametrize("task", TASKS)
def test_every_real_recording_is_read_cut_and_on_one_side(task):
    root = Path(str(FOLDER))
    data = HeartData(
        circor=root / "circor_2022", physionet2016=root / "physionet_2016", pascal=root / "pascal_2011",
        sample_rate=2000, num_samples=500,
    )  # fmt: skip
    pipeline = HeartPipeline(data, task)
    sides: list[set[int]] = []
    for split in pipeline.num_raw_rows():
        sides.append(set())
        for table in pipeline.read_raw(split, 0):
            pipeline.check(table, data_spec=pipeline.data_spec(), file=root, first_row=0)
            row = table.to_pylist()[0]
            decoded = pipeline.decode(table)
            seconds = len(row["waveform"]) / 2 / 2000
            assert 1 <= decoded.num_rows <= seconds / 0.25 and decoded.num_rows <= row["num_found"]
            assert pipeline.collate(decoded)["signal"].isfinite().all()
            sides[-1].add(row["subject"])
    assert sides[0] and sum(map(len, sides)) == len(set().union(*sides))
