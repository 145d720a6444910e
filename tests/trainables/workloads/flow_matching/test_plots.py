import torch
from torch import Tensor, nn

from tests.trainables.workloads.flow_matching.conftest import CPU, tiny_config
from trainables.contract.panels import zoom_of
from trainables.contract.train_context import Progress
from trainables.workloads.flow_matching.config import Pictures
from trainables.workloads.flow_matching.plots import SamplePlots, strip

NAMES = ["dark", "light", "mixed"]


class Brightness(nn.Module):
    """Adds a brightness that depends on the label to the noise."""

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return 0.3 * (label.view(-1, 1, 1, 1) - 1).to(x) - 0.5 * x


def drawing(settings: Pictures | None = None, seed: int = 0, chunk_size: int = 4) -> SamplePlots:
    pictures = settings or tiny_config().pictures
    return SamplePlots(pictures, class_names=NAMES, shape=(1, 4, 4), seed=seed, chunk_size=chunk_size)


def test_noise_and_pictures_are_equal_in_every_call_and_process():
    first, second = drawing(), drawing()
    assert torch.equal(first.noise, second.noise)
    torch.manual_seed(1)
    images = first.grid(Brightness(), CPU).images
    torch.manual_seed(2)
    assert torch.equal(first.grid(Brightness(), CPU).images, images)
    assert torch.equal(second.grid(Brightness(), CPU).images, images)
    assert not torch.equal(drawing(seed=1).noise, first.noise)


def test_pictures_do_not_depend_on_the_chunks_they_are_made_in():
    images = drawing(chunk_size=100).grid(Brightness(), CPU).images
    assert (drawing(chunk_size=1).grid(Brightness(), CPU).images.int() - images.int()).abs().max() <= 1


def test_each_row_of_the_grid_is_a_class():
    panel = drawing().grid(Brightness(), CPU)
    assert panel.key == "eval/generated_samples" and panel.columns == 2
    assert panel.images.shape == (6, 1, 4, 4) and panel.images.dtype == torch.uint8
    assert list(panel.captions) == ["dark", "dark", "light", "light", "mixed", "mixed"]
    brightness = panel.images.float().mean(dim=(1, 2, 3)).view(3, 2).mean(dim=1)
    assert brightness[0] < brightness[1] < brightness[2]


def test_no_more_classes_are_drawn_than_wanted():
    settings = tiny_config().pictures.model_copy(update={"max_classes": 2})
    assert drawing(settings).labels.tolist() == [0, 0, 1, 1]


def test_the_solver_table_counts_guided_evaluations_twice():
    table = drawing().table(Brightness(), Progress(epoch=3, step=70, num_epochs=5, steps_per_epoch=10), CPU)
    assert table.key == "eval/samples_table"
    assert list(table.columns) == ["Epoch", "Step", "Solver", "NFE", "Image"]
    assert [list(row[:4]) for row in table.rows] == [[3, 70, "euler", 8], [3, 70, "heun", 4]]
    for row in table.rows:
        assert isinstance(row[4], Tensor) and row[4].shape == (1, 64, 192) and row[4].dtype == torch.uint8


def test_the_table_shows_the_first_noise_of_each_class():
    seen: list[Tensor] = []

    class Recorder(Brightness):
        def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
            if not t.any():
                seen.append(x)
            return super().forward(x, t, label)

    settings = tiny_config().pictures.model_copy(update={"comparisons": tiny_config().pictures.comparisons[1:]})
    panels = drawing(settings)
    panels.table(Recorder(), Progress(1, 1, 1, 1), CPU)
    assert torch.equal(seen[0], panels.noise[[0, 2, 4]])


def test_a_strip_is_the_enlarged_pictures_side_by_side():
    images = torch.randint(0, 256, (2, 1, 16, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    cell = strip(images)
    assert zoom_of(images) == 3 and cell.shape == (1, 48, 120)
    for y, x in [(0, 0), (47, 59), (20, 60), (5, 119)]:
        assert cell[0, y, x] == images[x // 60, 0, y // 3, x % 60 // 3]


def test_large_pictures_are_not_enlarged():
    assert zoom_of(torch.zeros(1, 3, 256, 256, dtype=torch.uint8)) == 1
