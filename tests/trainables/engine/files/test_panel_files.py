"""Pictures against a loop over pixels, and tables cell by cell."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.storage.folder import Folder
from trainables.contract.panels import ImagePanel, TablePanel, VideoPanel
from trainables.engine.files.panel_files import picture_of, save_panels
from trainables.pictures.picture_grid import draw_grid, encode_png


def images(count: int, channels: int, height: int = 3, width: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 255, (count, channels, height, width), dtype=torch.uint8, generator=generator)


def naive_grid(panel: ImagePanel) -> np.ndarray:
    """White, with every source pixel painted `zoom` x `zoom` times at its place."""
    count, channels, height, width = panel.images.shape
    columns = min(count, panel.columns)
    rows = (count + columns - 1) // columns
    tall, wide = height * panel.zoom, width * panel.zoom
    grid = np.full((2 + rows * (tall + 2), 2 + columns * (wide + 2), channels), 255, np.uint8)
    for number in range(count):
        for y in range(tall):
            for x in range(wide):
                row, column = divmod(number, columns)
                pixel = panel.images[number, :, y // panel.zoom, x // panel.zoom]
                grid[2 + row * (tall + 2) + y, 2 + column * (wide + 2) + x] = pixel.numpy()
    return grid


def read_png(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize(("count", "columns"), [(1, 10), (3, 3), (7, 3), (4, 1)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("zoom", [1, 3])
def test_the_grid_is_that_of_a_loop_over_pixels(count, columns, channels, zoom):
    panel = ImagePanel("key", images(count, channels), columns=columns, zoom=zoom)
    grid = draw_grid(panel)
    assert grid.dtype == np.uint8
    np.testing.assert_array_equal(grid, naive_grid(panel))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_keeps_every_pixel(channels):
    array = images(1, channels)[0].permute(1, 2, 0).numpy()
    read = read_png(encode_png(array))
    np.testing.assert_array_equal(read, array[:, :, 0] if channels == 1 else array)


def test_a_saved_panel_is_a_picture_and_its_description(tmp_path):
    folder = Folder(str(tmp_path))
    panel = ImagePanel("eval/samples", images(5, 3), captions=list("abcde"), columns=2, zoom=2)
    [name] = save_panels(folder, [panel], step=12, epoch=3)
    assert name == "pictures/eval/samples/step_000000012.json"
    np.testing.assert_array_equal(read_png(folder.read(name.replace(".json", ".png"))), naive_grid(panel))
    assert folder.read_json(name) == {
        "key": "eval/samples",
        "step": 12,
        "epoch": 3,
        "type": "images",
        "captions": ["a", "b", "c", "d", "e"],
        "tiles": {"count": 5, "columns": 2, "height": 6, "width": 8, "gap": 2},
    }


def test_the_description_finds_every_tile_in_the_picture(tmp_path):
    folder = Folder(str(tmp_path))
    panel = ImagePanel("key", images(7, 3), columns=3)
    [name] = save_panels(folder, [panel], step=1, epoch=1)
    grid, tiles = read_png(folder.read(name.replace(".json", ".png"))), folder.read_json(name)["tiles"]
    for number in range(tiles["count"]):
        row, column = divmod(number, tiles["columns"])
        top = tiles["gap"] + row * (tiles["height"] + tiles["gap"])
        left = tiles["gap"] + column * (tiles["width"] + tiles["gap"])
        tile = grid[top : top + tiles["height"], left : left + tiles["width"]]
        np.testing.assert_array_equal(tile, panel.images[number].permute(1, 2, 0).numpy())


def test_a_saved_table_holds_its_cells_and_picture_files(tmp_path):
    folder = Folder(str(tmp_path))
    pictures = images(2, 3)
    rows = [[1, 0.5, "words", pictures[0]], [2, 0.25, "", pictures[1]]]
    table = TablePanel("eval/table", ["Epoch", "Value", "Note", "Picture"], rows)
    [name] = save_panels(folder, [table], step=7, epoch=2)
    described = folder.read_json(name)
    assert (described["type"], described["columns"]) == ("table", ["Epoch", "Value", "Note", "Picture"])
    assert [row[:3] for row in described["rows"]] == [[1, 0.5, "words"], [2, 0.25, ""]]
    for number, row in enumerate(described["rows"]):
        found = read_png(folder.read(row[3]["image"]))
        np.testing.assert_array_equal(found, pictures[number].permute(1, 2, 0).numpy())
    assert len({row[3]["image"] for row in described["rows"]}) == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_an_mp4_has_the_frames_of_the_clips_side_by_side(tmp_path, channels):
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    folder = Folder(str(tmp_path))
    levels = torch.tensor([40, 120, 200], dtype=torch.uint8).view(1, 3, 1, 1, 1)
    clips = torch.cat([levels, 255 - levels]).expand(2, 3, channels, 20, 31)
    panel = VideoPanel("eval/clips", clips, 4.0, ["a", "b"], form="mp4")
    [name] = save_panels(folder, [panel], step=7, epoch=1)
    assert folder.read_json(name)["form"] == "mp4"
    assert picture_of(folder, name) == "pictures/eval/clips/step_000000007.mp4"
    with av.open(io.BytesIO(folder.read(picture_of(folder, name)))) as container:
        assert container.streams.video[0].average_rate == 4
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(24, 68, 3)] * 3  # 2 + 20 + 2, and 2 + 31 + 2 + 31 + 2
    for frame, level in zip(frames, (40, 120, 200), strict=True):
        assert abs(int(frame[12, 12, 0]) - level) < 6 and abs(int(frame[12, 50, 1]) - (255 - level)) < 6


def test_the_shown_file_is_the_picture_animation_or_table(tmp_path):
    folder = Folder(str(tmp_path))
    clips = images(2, 3)[:, None].expand(2, 2, 3, 3, 4)
    panels = [ImagePanel("a", images(1, 1)), VideoPanel("b", clips), TablePanel("c", ["x"], [[1]])]
    files = [picture_of(folder, name) for name in save_panels(folder, panels, step=1, epoch=1)]
    assert [Path(file).suffix for file in files] == [".png", ".gif", ".json"]
    assert all(folder.exists(file) for file in files)


def test_a_table_row_of_another_length_is_our_mistake(tmp_path):
    with pytest.raises(ValueError):
        save_panels(Folder(str(tmp_path)), [TablePanel("t", ["a", "b"], [[1]])], step=1, epoch=1)


def test_panels_of_different_steps_stand_beside_each_other(tmp_path):
    folder = Folder(str(tmp_path))
    names = [save_panels(folder, [ImagePanel("k", images(1, 1))], step=step, epoch=1)[0] for step in (5, 10, 100)]
    assert names == sorted(names) and len(folder.names("pictures/k")) == 6
    assert save_panels(folder, [], step=1, epoch=1) == []
