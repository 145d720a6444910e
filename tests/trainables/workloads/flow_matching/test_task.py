import io

import pytest
import torch
from torch import Tensor, nn

from data_pipelines.contract.row_draws import torch_draws
from tests.tasks import seeded
from trainables.contract.panels import ImagePanel, TablePanel
from trainables.contract.train_context import Progress
from trainables.workloads.flow_matching.config import Evaluation, Pictures, Sampling
from trainables.workloads.flow_matching.flow.path import path_at
from trainables.workloads.flow_matching.path_config import (
    AnyPath,
    LogitNormalTimes,
    Straight,
    Trigonometric,
    VariancePreserving,
)
from trainables.workloads.flow_matching.pixels import to_minus_one_one
from trainables.workloads.flow_matching.task import FlowMatchingTask

from .conftest import CPU, DATA_SPEC, begin, run_ranks, solo, start_of, tiny_config, tiny_rows

UNGUIDED = Pictures(sampling=Sampling(guidance=1.0), comparisons=())


def build(seed: int = 3, **changes) -> FlowMatchingTask:
    return seeded(FlowMatchingTask)(tiny_config(**changes), DATA_SPEC, seed=seed)


def batch(num_rows: int = 16) -> dict[str, Tensor]:
    image, label = tiny_rows(num_rows)
    return {"image": image, "label": label}


class Recorder(nn.Module):
    """Predicts nothing and keeps what it was asked."""

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        self.x, self.t, self.label = x, t, label
        return torch.zeros_like(x)


def test_loss_equals_the_mean_squared_velocity_error_by_loops():
    task, module, rows = build(label_drop_ratio=0.0, pictures=UNGUIDED), Recorder(), batch(4)
    loss = task.loss(module, rows, draws=torch_draws(4, 0)).loss
    x_1 = rows["image"].double() / 127.5 - 1
    squares = []
    for i in range(4):
        t = float(module.t[i])
        x_0 = (module.x[i].double() - t * x_1[i]) / (1 - t)
        squares += [(b - a) ** 2 for a, b in zip(x_0.flatten().tolist(), x_1[i].flatten().tolist(), strict=True)]
    assert float(loss) == pytest.approx(sum(squares) / len(squares), rel=1e-4)
    assert torch.equal(module.label, rows["label"])


@pytest.mark.parametrize("path", [VariancePreserving(), Trigonometric(), Straight(sigma_min=0.2)], ids=str)
def test_the_loss_is_of_the_chosen_path_and_times(path: AnyPath):
    """A network that answers the velocity of the path, at the times that were drawn, has no loss."""
    times = LogitNormalTimes(mean=-1)
    task, rows = build(label_drop_ratio=0.0, pictures=UNGUIDED, path=path, times=times), batch(16)
    x_0, x_1 = torch_draws(16, 0).normal(1, 4, 4), to_minus_one_one(rows["image"])

    class Exact(nn.Module):
        def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
            point = path_at(x_0, x_1, t, path)
            assert torch.allclose(point.x_t, x, atol=1e-6) and float(t.mean()) < 0.4
            return point.velocity

    draws = torch_draws(16, 0)
    assert float(task.loss(Exact(), rows, draws=draws).loss) == 0


def test_labels_are_dropped_to_the_null_class_only_as_wanted():
    module = Recorder()
    unlabelled = Sampling(guidance=0.0)
    task = build(
        label_drop_ratio=1.0,
        evaluation=Evaluation(sampling=unlabelled),
        pictures=Pictures(sampling=unlabelled, comparisons=()),
    )
    task.loss(module, batch(), draws=torch_draws(16, 0))
    assert (module.label == 3).all()


def test_loss_follows_the_draws_alone():
    task, module = build(), Recorder()
    losses = []
    for global_seed, seed in ((0, 1), (5, 1), (5, 2)):
        torch.manual_seed(global_seed)
        losses.append(float(task.loss(module, batch(), draws=torch_draws(16, seed)).loss))
    assert losses[0] == losses[1] != losses[2]


def test_optimal_transport_shortens_the_paths():
    losses = {}
    for coupling in ("independent", "optimal_transport"):
        task = build(coupling=coupling)
        losses[coupling] = float(task.loss(Recorder(), batch(48), draws=torch_draws(48, 0)).loss)
    assert losses["optimal_transport"] < 0.95 * losses["independent"]


@pytest.mark.slow
def test_training_on_a_tiny_set_lowers_the_loss():
    task = build()
    draws = torch_draws(32, 0)
    optimizer = torch.optim.Adam(task.module.parameters(), lr=1e-2)
    losses = []
    torch.manual_seed(0)
    for _ in range(80):
        loss = task.loss(task.module, batch(32), draws=draws).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_weights_follow_the_seed_not_the_global_random_state():
    weights = []
    for global_seed, seed in ((0, 1), (1, 1), (1, 2)):
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        weights.append(build(seed).module.get_parameter("conv_in.weight"))
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[1], weights[2])


def test_images_that_do_not_fit_the_levels_are_refused_early():
    with pytest.raises(ValueError, match="images are 5x4"):
        seeded(FlowMatchingTask)(tiny_config(), DATA_SPEC | {"height": 5}, seed=0)


def test_real_image_statistics_count_every_row_once_over_ranks():
    def body(collectives):
        task = build()
        return begin(task, start_of(collectives))

    images, _ = tiny_rows()
    for task in run_ranks(2, body):
        features = task.real.network(images)[0].double()
        gaussian = task.real.gaussians["local"]
        assert torch.allclose(gaussian.mean, features.mean(dim=0), atol=1e-6)
        assert torch.allclose(gaussian.covariance, torch.cov(features.T), atol=1e-6)


def test_a_restored_task_evaluates_like_the_one_that_began():
    task = build()
    begin(task, start_of(solo()))
    file = io.BytesIO()
    torch.save(task.state_dict(), file)
    file.seek(0)
    restored = build()
    restored.load_state_dict(torch.load(file, weights_only=True))
    first, second = (t.evaluator(solo(), CPU).compute(t.module.eval()).metrics for t in (task, restored))
    assert first == second
    assert task.config.selection_metric.metric in first


def test_an_evaluation_before_the_run_began_is_refused():
    with pytest.raises(ValueError, match="made when a run begins"):
        build().evaluator(solo(), CPU)


def test_example_inputs_are_what_the_network_takes():
    task = build()
    assert task.module(*task.example_inputs()).shape == (1, 1, 4, 4)


def test_pictures_are_one_grid_and_one_table():
    task = build()
    grid, table = task.visualise(task.module.eval(), None, Progress(1, 1, 1, 1), CPU)
    assert isinstance(grid, ImagePanel) and isinstance(table, TablePanel)
    assert (grid.key, table.key) == ("eval/generated_samples", "eval/samples_table")


@pytest.mark.parametrize(("num_samples", "num_warnings"), [(64, 1), (65, 0)])
def test_too_few_samples_for_the_distance_are_warned_of(caplog, num_samples: int, num_warnings: int):
    evaluation = Evaluation(num_samples=num_samples, metric="fid", sampling=Sampling(nfe=2, guidance=1.0))
    task = build(evaluation=evaluation)
    begin(task, start_of(solo()))
    warnings = [line for line in caplog.messages if "biased upwards" in line]
    assert len(warnings) == num_warnings
    assert all(line.startswith("eval/fid_local of 64 samples is biased upwards") for line in warnings)
