from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from data_pipelines.storage.folder import Folder
from tests.tasks import seeded
from trainables.contract.evaluation import EvaluationResult
from trainables.contract.panels import ImagePanel, TablePanel
from trainables.engine.data.dataset_statistics import DatasetStatisticsCache
from trainables.workloads.flow_matching.config import Evaluation as EvaluationSettings
from trainables.workloads.flow_matching.config import Sampling
from trainables.workloads.flow_matching.reference.scoring import Extractor, Scores, name_scores
from trainables.workloads.flow_matching.task import FlowMatchingTask

from .conftest import (
    CPU,
    DATA_SPEC,
    Ranks,
    begin,
    begun_task,
    evaluate,
    run_ranks,
    settings,
    solo,
    start_of,
    tiny_config,
    tiny_rows,
)


def test_two_ranks_give_the_same_result_as_one():
    (expected,) = run_ranks(1, evaluate)
    for evaluation in run_ranks(2, evaluate):
        assert evaluation.metrics == pytest.approx(dict(expected.metrics), rel=1e-6)
        assert torch.equal(_panel(evaluation).images, _panel(expected).images)


def test_an_evaluation_can_be_repeated():
    task = begun_task(solo())
    with torch.no_grad():
        first, second = (task.evaluator(solo(), CPU).compute(task.module) for _ in range(2))
    assert first.metrics == second.metrics


def test_every_score_has_a_baseline_of_the_trivial_generator():
    metrics = run_ranks(1, evaluate)[0].metrics
    scores = {"eval/fid_local", "eval/inception_score_local_mean", "eval/inception_score_local_std"}
    assert set(metrics) == scores | {f"baseline/{name}" for name in scores} | {"eval/nfe_ode", "eval/nfe_net"}


def test_perfect_samples_score_better_than_the_trivial_generator():
    """The velocity leads from any noise to a real image of the wanted class."""
    task = begun_task(solo(), tiny_config(evaluation=settings(num_samples=200)))
    batches = [batch for batch in start_of(solo()).batches("train")]
    images = torch.cat([batch["image"] for batch in batches]).float() / 127.5 - 1
    labels = torch.cat([batch["label"] for batch in batches])

    class Perfect(nn.Module):
        def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
            target = torch.stack([images[labels == c][i % int((labels == c).sum())] for i, c in enumerate(label)])
            return (target - x) / (1 - t).view(-1, 1, 1, 1)

    metrics = task.evaluator(solo(), CPU).compute(Perfect()).metrics
    assert metrics["eval/fid_local"] < 0.1 * metrics["baseline/eval/fid_local"]


@pytest.mark.parametrize(("guidance", "factor"), [(1.0, 1), (2.0, 2)])
def test_guidance_doubles_the_network_evaluations_in_the_metrics(guidance: float, factor: int):
    sampling = Sampling(solver="heun", nfe=4, guidance=guidance)
    config = tiny_config(evaluation=settings(sampling=sampling, num_samples=6))
    metrics = run_ranks(1, lambda collectives: evaluate(collectives, config))[0].metrics
    assert (metrics["eval/nfe_ode"], metrics["eval/nfe_net"]) == (4, 4 * factor)


@pytest.mark.parametrize("metric", ["both", "all"])
def test_scores_do_not_depend_on_the_batch_size(metric: str):
    """Neither those of the samples nor those of the trivial generator."""

    def body(batch_size: int) -> dict[str, float]:
        config = tiny_config(evaluation=settings(batch_size=batch_size, metric=metric))
        return dict(evaluate(solo(), config).metrics)

    with torch.no_grad():
        small, large = body(3), body(22)
    assert small == pytest.approx(large, rel=1e-5) and len(small) > 7


def test_likelihoods_are_of_test_images_of_any_network():
    config = tiny_config(evaluation=settings(num_likelihoods=2))
    task = begun_task(solo(), config)
    evaluator = task.evaluator(solo(), CPU)
    assert evaluator.splits == ("test",) and task.config.evaluation.num_likelihoods == 2
    images, labels = tiny_rows(8, seed=1)
    with torch.no_grad():
        evaluator.update(task.module, {"image": images, "label": labels})
        metrics = evaluator.compute(task.module).metrics
    assert 0 < metrics["eval/bits_per_dim"] < 20 and metrics["eval/bits_per_dim_se"] > 0
    assert begun_task(solo()).evaluator(solo(), CPU).splits == ()


def test_a_curve_holds_the_scores_of_each_number_of_evaluations():
    """Each point is what an evaluation with that number alone gives."""
    base = settings(metric="both")
    curve = evaluate(solo(), tiny_config(evaluation=base.model_copy(update={"nfe_curve": (10, 1, 2)})))
    for nfe in (1, 2, 10):
        alone = base.model_copy(update={"sampling": base.sampling.model_copy(update={"nfe": nfe})})
        metrics = evaluate(solo(), tiny_config(evaluation=alone)).metrics
        for name in ("eval/fid_local", "eval/inception_score_local_mean"):
            assert curve.metrics[f"{name}/nfe_{nfe}"] == pytest.approx(metrics[name], rel=1e-9)
    _, table, chart = curve.panels
    assert isinstance(table, TablePanel) and isinstance(chart, ImagePanel)
    assert list(table.columns[:4]) == ["Solver", "NFE", "Network calls", "fid_local"]
    assert [list(row[:3]) for row in table.rows] == [["euler", nfe, nfe] for nfe in (1, 2, 10)]
    assert [row[3] for row in table.rows] == [curve.metrics[f"eval/fid_local/nfe_{nfe}"] for nfe in (1, 2, 10)]


@pytest.mark.parametrize(
    ("solver", "nfe", "words"),
    [("heun", 4, "holds 3; with solver: heun all must be multiples of 2"), ("dopri5", None, "dopri5 chooses its own")],
)
def test_a_curve_needs_numbers_that_fit_the_solver(solver: Any, nfe: int | None, words: str):
    with pytest.raises(ValueError, match=words):
        EvaluationSettings(nfe_curve=(2, 3), sampling=Sampling(solver=solver, nfe=nfe))


def test_the_feature_network_is_learnt_when_its_features_are_needed(tmp_path: Path, capsys: Any):
    weights = tmp_path / "weights.pth"
    task = seeded(FlowMatchingTask)(tiny_config(evaluation=settings(inception_weights=weights)), DATA_SPEC, seed=3)
    forward = lambda images: (images.flatten(1)[:, :2].float(), images.flatten(1).float())  # noqa: E731
    task._inception = Extractor("inception", 2, 16, forward)
    begin(task, start_of(solo()))
    assert task.real.network is None and "learnt" not in capsys.readouterr().out
    metrics = task.evaluator(solo(), CPU).compute(task.module.eval()).metrics
    assert {"eval/fid_score", "baseline/eval/fid_score"} <= set(metrics)
    later = seeded(FlowMatchingTask)(tiny_config(), DATA_SPEC, seed=3)
    later.load_state_dict(task.state_dict())
    later.prepare_evaluation(start_of(solo()))
    words = capsys.readouterr().out
    assert "learnt from 48 images" in words and f"tell {later.real.accuracy:.1%} of the 48 images apart" in words


def test_samples_that_are_not_finite_stop_all_ranks():
    class Broken(nn.Module):
        def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
            return torch.where((label == 2).view(-1, 1, 1, 1), torch.nan, x)

    def body(collectives: Ranks) -> str:
        task = begun_task(collectives)
        with pytest.raises(FloatingPointError) as caught:
            task.evaluator(collectives, CPU).compute(Broken())
        return str(caught.value)

    for message in run_ranks(2, body):
        assert message == "5 of 22 generated images are not finite (solver euler, guidance 1)"


def test_a_second_run_on_the_same_data_uses_the_cache(tmp_path: Path):
    """It recalls what the first one has learnt, and is scored alike."""

    def refuse(split: str) -> Any:
        raise AssertionError(f"{split} was read")

    memory = DatasetStatisticsCache(Folder(str(tmp_path)), "rows", solo())
    start = replace(start_of(solo()), cached=memory.cached)
    tasks = [seeded(FlowMatchingTask)(tiny_config(), DATA_SPEC, seed=seed) for seed in (3, 3)]
    first = begin(tasks[0], start)
    second = begin(tasks[1], replace(start, batches=refuse))
    assert first.real.fingerprint("local") == second.real.fingerprint("local")
    assert first.real.baseline("local", 22) == second.real.baseline("local", 22) is not None
    names = sorted(file.name.partition("-")[0] for file in (tmp_path / "learnt").iterdir())
    assert names == ["feature_network", "local_baseline", "local_moments"]


@pytest.mark.parametrize("changes", [{"num_samples": 20}, {"metric": "all"}])
def test_other_samples_of_the_trivial_generator_are_rescored(tmp_path: Path, changes: dict[str, Any]):
    memory = DatasetStatisticsCache(Folder(str(tmp_path)), "rows", solo())
    start = replace(start_of(solo()), cached=memory.cached)
    for config in (tiny_config(), tiny_config(evaluation=settings(**changes))):
        begin(seeded(FlowMatchingTask)(config, DATA_SPEC, seed=3), start)
    assert len(list((tmp_path / "learnt").glob("local_baseline-*"))) == 2
    assert len(list((tmp_path / "learnt").glob("local_moments-*"))) == 1


def test_the_first_samples_of_each_class_are_shown_in_its_row():
    for evaluation in run_ranks(2, evaluate):
        panel = _panel(evaluation)
        assert panel.key == "eval/sample_images" and panel.zoom == 16 and panel.columns == 5
        assert panel.images.shape == (15, 1, 4, 4) and panel.images.dtype == torch.uint8
        assert list(panel.row_names) == DATA_SPEC["class_names"]
        assert list(panel.captions) == [name for name in DATA_SPEC["class_names"] for _ in range(5)]


def test_only_inception_features_give_the_published_names():
    scores = Scores(1.0, 2.0, 3.0)
    published = {"eval/fid_score": 1.0, "eval/inception_score_mean": 2.0, "eval/inception_score_std": 3.0}
    assert name_scores(scores, "inception", "both") == published
    assert name_scores(scores, "local", "fid") == {"eval/fid_local": 1.0}
    assert list(name_scores(scores, "local", "is")) == [
        "eval/inception_score_local_mean",
        "eval/inception_score_local_std",
    ]


def test_inception_weights_of_evaluation_alone_read_real_images(tmp_path: Any):
    task = begun_task(solo())
    config = tiny_config(evaluation=settings(inception_weights=tmp_path / "weights.pth"))
    later = seeded(FlowMatchingTask)(config, DATA_SPEC, seed=3)
    later.load_state_dict(task.state_dict())
    forward = lambda images: (images.flatten(1)[:, :2].float(), images.flatten(1).float())  # noqa: E731
    later._inception = Extractor("inception", 2, 16, forward)
    later.prepare_evaluation(start_of(solo()))
    metrics = later.evaluator(solo(), CPU).compute(later.module.eval()).metrics
    assert {"eval/fid_score", "baseline/eval/fid_score"} <= set(metrics) and "eval/fid_local" not in metrics
    assert config.selection_metric.metric in metrics


def _panel(evaluation: EvaluationResult) -> ImagePanel:
    (panel,) = evaluation.panels
    assert isinstance(panel, ImagePanel)
    return panel
