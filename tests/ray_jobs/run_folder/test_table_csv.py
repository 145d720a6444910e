"""Tables as CSV: they grow, and after a restart they are those of the checkpoint."""

import csv
import io

import pytest
import torch

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.record_file import read_record
from ray_jobs.run_folder.table_csv import TABLE, TableFiles, find_tables
from trainables.contract.panels import ImagePanel, TablePanel
from trainables.engine.files.panel_files import save_panels
from trainables.run_paths import find_panels


@pytest.fixture(params=["local", "remote"])
def folder(request, tmp_path) -> Folder:
    folder = Folder(str(tmp_path))
    folder.is_local = request.param == "local"
    return folder


def draw(folder: Folder, step: int) -> list[str]:
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    table = TablePanel("eval/table", ["Name", "Score", "Image"], [["a, b", step / 2, image], ['say "c"', 1, image]])
    return save_panels(folder, [table, ImagePanel("eval/x", image[None])], step=step, epoch=step // 10)


def read(folder: Folder) -> list[list[str]]:
    return list(csv.reader(io.StringIO(read_record(folder, f"pictures/eval/table/{TABLE}").decode())))


def expected(step: int) -> list[list[str]]:
    image = f"pictures/eval/table/step_{step:09d}_0"
    return [
        [str(step), str(step // 10), "a, b", str(step / 2), f"{image}0_image.png"],
        [str(step), str(step // 10), 'say "c"', "1", f"{image}1_image.png"],
    ]


def test_a_table_grows_over_the_steps(folder):
    for step in (10, 20):
        tables = TableFiles(folder)
        for description in draw(folder, step):
            tables.append(description)
    assert read(folder) == [["step", "epoch", "Name", "Score", "Image"], *expected(10), *expected(20)]


def test_a_restart_restores_table_rows_up_to_its_checkpoint(folder):
    tables = TableFiles(folder)
    for step in (10, 20, 30):
        described = draw(folder, step)
        if step != 20:
            tables.append(described[0])
    tables.remake(find_panels(folder, until_step=20))
    assert read(folder)[1:] == [*expected(10), *expected(20)]
    tables.close()
    assert folder.exists(f"pictures/eval/table/{TABLE}")
    tables.remake([])
    assert find_tables(folder) == []
