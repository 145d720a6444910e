"""Scores of `metric: all`."""

import io

import pytest
import torch
from torch import Tensor

from tests.tasks import seeded
from trainables.contract.seeding import seeded_generator
from trainables.metrics.generative.frechet import Gaussian, compute_frechet_distance
from trainables.metrics.generative.kernel_distance import compute_kernel_distance
from trainables.metrics.generative.precision_recall import compute_precision_recall
from trainables.workloads.flow_matching.reference.scoring import Extractor, Scorer
from trainables.workloads.flow_matching.task import FlowMatchingTask

from .conftest import (
    CPU,
    DATA_SPEC,
    Ranks,
    begun_task,
    evaluate,
    run_ranks,
    settings,
    solo,
    tiny_config,
    tiny_rows,
)


def test_all_scores_are_those_of_the_samples_features():
    """KID, precision, recall, and the same between two halves of the real images."""
    config = tiny_config(evaluation=settings(metric="all"))
    task = begun_task(solo(), config)
    seen: list[Tensor] = []
    evaluator = task.evaluator(solo(), CPU)
    network = task.real.network
    assert network is not None
    evaluator._extractor = Extractor("local", 64, 3, lambda images: (seen.append(images), network(images))[1])
    with torch.no_grad():
        metrics = evaluator.compute(task.module).metrics
        generated = network(torch.cat(seen))[0]
    rows = task.real.features["local"].rows
    assert len(rows) == 48 and len(generated) == 22
    expected = compute_precision_recall(rows[:22], generated)
    assert (metrics["eval/precision_local"], metrics["eval/recall_local"]) == (expected.precision, expected.recall)
    draws = seeded_generator(0, "subsets of the kernel distance")
    kernel = compute_kernel_distance(rows[:22], generated, generator=draws)
    assert metrics["eval/kid_local"] == pytest.approx(kernel.mean, rel=1e-5)
    assert metrics["eval/fid_local_halves"] == task.real.features["local"].halves.fid
    names = {"kid_local", "precision_local", "recall_local", "fid_local"}
    assert {f"eval/{name}_halves" for name in names} <= set(metrics)
    assert {f"baseline/eval/{name}" for name in names} <= set(metrics)


def test_samples_are_compared_with_the_test_images_too():
    """The same distance, and that between training and test images, on one rank and on two."""
    config = tiny_config(evaluation=settings(metric="all"))
    images, labels = tiny_rows(20, seed=1)

    def body(collectives: Ranks) -> tuple[dict[str, float], Tensor]:
        task = begun_task(collectives, config)
        evaluator = task.evaluator(collectives, CPU)
        assert evaluator.splits == ("test",)
        network = task.real.network
        assert network is not None
        share = slice(collectives.rank, None, collectives.world_size)
        with torch.no_grad():
            evaluator.update(task.module, {"image": images[share], "label": labels[share]})
            return dict(evaluator.compute(task.module).metrics), network(images)[0]

    ((metrics, features),) = run_ranks(1, body)
    test = _moments(features)
    train = begun_task(solo(), config).real.gaussians["local"]
    assert metrics["eval/fid_local_train_test"] == pytest.approx(compute_frechet_distance(train, test), rel=1e-6)
    assert metrics["eval/fid_local_test"] != metrics["eval/fid_local"] and metrics["eval/fid_local_test"] > 0
    for again, _ in run_ranks(2, body):
        assert again == pytest.approx(metrics, rel=1e-6)


def test_samples_equal_to_the_test_images_have_no_distance():
    images = torch.randn(12, 64, generator=torch.Generator().manual_seed(0))
    forward = lambda rows: (rows, rows[:, :3])  # noqa: E731
    scorer = Scorer(Extractor("local", 64, 3, forward), solo(), CPU)
    scorer.add(images, range(12))
    scores = scorer.compute(_moments(images + 1), test=_moments(images))
    assert scores.fid_test == pytest.approx(0, abs=1e-6) and scores.fid == pytest.approx(64, rel=1e-6)


def test_no_test_images_are_said_and_the_distance_left_out(caplog: pytest.LogCaptureFixture):
    metrics = evaluate(solo(), tiny_config(evaluation=settings(metric="all"))).metrics
    assert "eval/fid_local_test" not in metrics and "there are 0 of them" in caplog.text


def test_two_ranks_give_all_scores_as_one_does():
    config = tiny_config(evaluation=settings(metric="all"))
    (expected,) = run_ranks(1, lambda collectives: evaluate(collectives, config))
    for evaluation in run_ranks(2, lambda collectives: evaluate(collectives, config)):
        assert evaluation.metrics == pytest.approx(dict(expected.metrics), rel=1e-6)


def test_a_saved_task_knows_the_real_features():
    config = tiny_config(evaluation=settings(metric="all"))
    task = begun_task(solo(), config)
    file = io.BytesIO()
    torch.save(task.state_dict(), file)
    file.seek(0)
    later = seeded(FlowMatchingTask)(config, DATA_SPEC, seed=3)
    later.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(later.real.features["local"].rows, task.real.features["local"].rows)
    assert later.real.features["local"].halves == task.real.features["local"].halves


def _moments(rows: Tensor) -> Gaussian:
    rows = rows.double()
    return Gaussian(rows.mean(dim=0), torch.cov(rows.T))
