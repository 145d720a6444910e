"""Panels as W&B values: what was drawn is what is sent."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data_pipelines.storage.folder import Folder
from ray_jobs.tracking.wandb_objects import cut_grid, read_media
from trainables.contract.panels import ImagePanel, TablePanel, VideoPanel
from trainables.engine.files.panel_files import save_panels
from trainables.pictures.picture_grid import draw_grid

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path))


def images(count: int, channels: int = 3) -> torch.Tensor:
    return torch.arange(count * channels * 5 * 4).to(torch.uint8).reshape(count, channels, 5, 4)


@pytest.mark.parametrize(
    ("count", "columns", "channels", "zoom"), [(10, 4, 3, 1), (1, 10, 1, 3), (7, 7, 3, 2), (3, 2, 1, 1)]
)
def test_a_grid_is_cut_into_the_pictures_it_was_made_of(count, columns, channels, zoom):
    panel = ImagePanel("eval/x", images(count, channels), columns=columns, zoom=zoom)
    grid = draw_grid(panel)
    tiles = {"count": count, "columns": columns, "height": 5 * zoom, "width": 4 * zoom, "gap": 2}
    cut = list(cut_grid(Image.fromarray(grid.squeeze(2) if channels == 1 else grid), tiles))
    assert len(cut) == count
    for tile, image in zip(cut, panel.images, strict=True):
        enlarged = np.kron(image.permute(1, 2, 0).numpy(), np.ones((zoom, zoom, 1), np.uint8))
        assert np.array_equal(np.asarray(tile).reshape(enlarged.shape), enlarged)


@pytest.mark.parametrize("rows", [(), ("cat", "a long name", "dog")])
@pytest.mark.parametrize("columns", [(), ("t", "t+1", "t+2")])
def test_names_beside_a_grid_are_no_part_of_its_pictures(folder, rows, columns):
    panel = ImagePanel("key", images(7, 1), columns=3, zoom=8, row_names=rows, column_names=columns)
    [name] = save_panels(folder, [panel], step=1, epoch=1)
    grid = Image.open(io.BytesIO(folder.read(name.replace(".json", ".png"))))
    tiles = folder.read_json(name)["tiles"]
    left, top = tiles.get("left", 0), tiles.get("top", 0)
    assert (left > 50) == bool(rows) and (top > 10) == bool(columns)
    pixels = np.asarray(grid)
    assert not rows or pixels[top:, :left].min() < 100
    assert not columns or pixels[:top, left:].min() < 100
    for number, tile in enumerate(cut_grid(grid, tiles)):
        expected = np.kron(panel.images[number, 0].numpy(), np.ones((8, 8), np.uint8))
        assert np.array_equal(np.asarray(tile).reshape(*expected.shape, -1)[..., 0], expected)


def test_ten_pictures_stay_ten_with_their_captions(folder):
    captions = [f"class {index}" for index in range(10)]
    [name] = save_panels(folder, [ImagePanel("eval/generated", images(10), captions, columns=4)], step=8, epoch=1)
    media = read_media(folder, name)
    assert list(media) == ["eval/generated"]
    assert [image._caption for image in media["eval/generated"]] == captions
    for value, image in zip(media["eval/generated"], images(10), strict=True):
        assert np.array_equal(np.asarray(value.image), image.permute(1, 2, 0).numpy())


def test_a_table_holds_the_rows_of_every_step_up_to_its_own(folder):
    names = []
    for step in (8, 16, 24):
        panel = TablePanel("eval/table", ["Epoch", "Score", "Image"], [[step // 8, step / 10, images(1)[0]]])
        names += save_panels(folder, [panel], step=step, epoch=step // 8)
    table = read_media(folder, names[1])["eval/table"]
    assert table.columns == ["Epoch", "Score", "Image"]
    assert [row[:2] for row in table.data] == [[1, 0.8], [2, 1.6]]
    assert np.array_equal(np.asarray(table.data[1][2].image), images(1)[0].permute(1, 2, 0).numpy())


def test_a_clip_is_an_animation_of_its_frames(folder):
    frames = (torch.arange(3).reshape(1, 3, 1, 1, 1) * 100).expand(2, 3, 1, 6, 6).to(torch.uint8)
    [name] = save_panels(folder, [VideoPanel("eval/clips", frames, captions=["a", "b"])], step=8, epoch=1)
    video = read_media(folder, name)["eval/clips"]
    assert video._format == "gif" and video._caption == "a  b"
    animation = Image.open(io.BytesIO(folder.read(name.removesuffix(".json") + ".gif")))
    assert animation.n_frames == 3  # pyright: ignore
    for index in range(3):
        animation.seek(index)
        shown = np.asarray(animation.convert("L"))
        assert shown.shape == (10, 18) and shown[5, 5] == shown[5, 12] == index * 100


def test_an_mp4_is_sent_as_it_is(folder):
    pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    clips = torch.zeros(1, 3, 3, 16, 16, dtype=torch.uint8)
    [name] = save_panels(folder, [VideoPanel("eval/clips", clips, captions=["a"], form="mp4")], step=8, epoch=1)
    video = read_media(folder, name)["eval/clips"]
    assert video._format == "mp4" and video._caption == "a"
    assert Path(video._path).read_bytes() == folder.read(name.removesuffix(".json") + ".mp4")


def test_histograms_keep_their_counts_and_edges(folder):
    content = {"watch/gradients/w": {"counts": [1, 2], "edges": [0.0, 0.5, 1.0]}}
    folder.write_json("pictures/watch/step_000000008.json", {"type": "histograms", "histograms": content})
    value = read_media(folder, "pictures/watch/step_000000008.json")["watch/gradients/w"]
    assert value.histogram == [1, 2] and value.bins == [0.0, 0.5, 1.0]


def test_an_unknown_kind_is_refused_by_name(folder):
    folder.write_json("pictures/x/step_000000008.json", {"type": "hologram"})
    with pytest.raises(ValueError, match="'hologram' is no kind of panel"):
        read_media(folder, "pictures/x/step_000000008.json")
