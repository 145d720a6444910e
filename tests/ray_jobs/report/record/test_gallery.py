"""Pictures of a page: the newest, the first, some between, and never too many bytes."""

import numpy as np

from ray_jobs.report.record.gallery import Budget, choose, gather_galleries, read_cell, shrink
from ray_jobs.report.record.table import gather_tables
from tests.ray_jobs.report.conftest import encode, write_picture

NOISE = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)


def test_the_last_comes_first_and_the_others_are_evenly_apart():
    names = [str(number) for number in range(100)]
    assert choose(names, 5) == ["99", "0", "25", "50", "74"]
    assert choose(names[:3], 5) == ["2", "0", "1"]
    assert choose(names[:1], 5) == ["0"]


def test_every_key_has_its_newest_picture_before_a_second_one(write_run):
    folder = write_run()
    content = encode(NOISE[:100, :100])
    for key in ("eval/a", "eval/b"):
        for step in (10, 20, 30):
            write_picture(folder, key, step, content=content)
    galleries = gather_galleries(folder, 20, Budget(3 * len(content)))
    assert [(each.key, [picture.step for picture in each.pictures], each.num_all) for each in galleries] == [
        ("eval/a", [20, 10], 2),
        ("eval/b", [20], 2),
    ]


def test_a_picture_whose_file_is_not_there_yet_is_passed_over(write_run):
    folder = write_run()
    write_picture(folder, "eval/a", 10)
    folder.delete("pictures/eval/a/step_000000010.png")
    [gallery] = gather_galleries(folder, 20, Budget())
    assert not gallery.pictures and gallery.num_all == 1


def test_large_pictures_are_downscaled_and_small_ones_unchanged():
    small, large = encode(NOISE[:20, :20]), encode(np.tile(NOISE, (4, 4, 1)))
    assert shrink(small, ".png") == (small, ".png", 20)
    content, ending, width = shrink(large, ".png")
    assert ending == ".webp" and width == 1400 and len(content) < len(large)
    assert shrink(b"anything", ".mp4") == (b"anything", ".mp4", 0)


def test_other_panels_are_counted_and_tables_left_out(write_run):
    folder = write_run()
    for key, kind in (("watch", "histograms"), ("eval/t", "table")):
        folder.write_json(f"pictures/{key}/step_000000010.json", {"key": key, "step": 10, "epoch": 1, "type": kind})
    assert [(each.key, each.pictures, each.num_all) for each in gather_galleries(folder, 20, Budget())] == [
        ("watch", [], 1)
    ]


def test_clips_are_shown_whole(write_run):
    folder = write_run()
    common = {"key": "eval/clip", "step": 10, "epoch": 1, "type": "video", "captions": []}
    folder.write_json("pictures/eval/clip/step_000000010.json", {**common, "form": "mp4"})
    folder.write("pictures/eval/clip/step_000000010.mp4", b"film")
    [gallery] = gather_galleries(folder, 20, Budget())
    [picture] = gallery.pictures
    assert picture.is_video and picture.uri == "data:video/mp4;base64,ZmlsbQ=="


def test_a_cell_is_a_picture_only_when_it_names_one_of_the_run_s(write_run):
    folder = write_run()
    write_picture(folder, "eval/a", 10)
    name = "pictures/eval/a/step_000000010.png"
    assert (read_cell(folder, name, Budget()) or "").startswith("data:image/png")
    for other in ("heun", "pictures/none.png", "../some-run/x.png", "pictures/../run.json"):
        assert read_cell(folder, other, Budget()) is None
    assert read_cell(folder, name, Budget(10)) is None


def test_a_long_table_shows_new_rows_and_folds_earlier_ones(write_run):
    folder = write_run()
    lines = ["step,epoch,Epoch,Layer", *(f"{step},1,1,l{layer}" for step in (10, 20, 30) for layer in range(20))]
    folder.write("pictures/eval/layers/table.csv", "\n".join([*lines, "30,1,to"]).encode())
    [table] = gather_tables(folder)
    assert table.columns == ["step", "Epoch", "Layer"] and table.key == "eval/layers"
    assert [row[0] for row in table.rows] == ["30"] * 20 and len(table.earlier) == 40 and table.num_left_out == 0
    folder.write("pictures/eval/layers/table.csv", "\n".join(lines[:31]).encode())
    assert len(gather_tables(folder)[0].rows) == 30 and not gather_tables(folder)[0].earlier
