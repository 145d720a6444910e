import torch

from data_pipelines.contract.row_draws import torch_draws
from trainables.workloads.flow_matching.flow.path import drop_labels, path_at, sample_path


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_path_equals_the_straight_line_written_as_loops():
    x_0, x_1 = torch.randn(3, 2, 2, 2, generator=generator(1)), torch.randn(3, 2, 2, 2, generator=generator(2))
    path = sample_path(x_0, x_1, draws=torch_draws(3, 3))
    for i in range(3):
        t = float(path.t[i])
        for a, b, x, v in zip(
            *(rows[i].flatten().tolist() for rows in (x_0, x_1, path.x_t, path.velocity)), strict=True
        ):
            assert abs(x - ((1 - t) * a + t * b)) < 1e-6
            assert abs(v - (b - a)) < 1e-6


def test_path_starts_at_the_noise_and_ends_at_the_image():
    x_0, x_1 = torch.randn(2, 1, 2, 2), torch.randn(2, 1, 2, 2)
    assert torch.equal(path_at(x_0, x_1, torch.zeros(2)).x_t, x_0)
    assert torch.equal(path_at(x_0, x_1, torch.ones(2)).x_t, x_1)


def test_velocity_is_the_derivative_of_the_path():
    x_0, x_1 = torch.randn(2, 1, 2, 2).double(), torch.randn(2, 1, 2, 2).double()
    before, after = (path_at(x_0, x_1, torch.full((2,), t, dtype=torch.float64)).x_t for t in (0.3, 0.4))
    assert torch.allclose((after - before) / 0.1, path_at(x_0, x_1, torch.rand(2).double()).velocity)


def test_times_are_uniform_and_follow_the_draws():
    x = torch.zeros(20_000, 1, 1, 1)
    t = sample_path(x, x, draws=torch_draws(20_000, 4)).t
    assert torch.equal(t, sample_path(x, x, draws=torch_draws(20_000, 4)).t)
    counts = torch.histc(t, 10, 0, 1)
    assert counts.sum() == 20_000
    assert (counts - 2000).abs().max() < 4 * (2000 * 0.9) ** 0.5


def test_labels_are_dropped_at_the_given_ratio():
    label = torch.arange(20_000) % 10
    dropped = drop_labels(label, 10, 0.1, draws=torch_draws(20_000, 5))
    is_null = dropped == 10
    assert abs(float(is_null.float().mean()) - 0.1) < 4 * (0.1 * 0.9 / 20_000) ** 0.5
    assert torch.equal(dropped[~is_null], label[~is_null])


def test_no_label_is_dropped_at_ratio_0_and_every_one_at_ratio_1():
    label = torch.arange(10)
    assert torch.equal(drop_labels(label, 10, 0.0, draws=torch_draws(10, 0)), label)
    assert torch.equal(drop_labels(label, 10, 1.0, draws=torch_draws(10, 0)), torch.full((10,), 10))
