"""Tables and pictures of the rounds."""

from collections.abc import Sequence

import torch

from trainables.contract.panels import ImagePanel, Panel, TablePanel
from trainables.contract.train_context import Progress
from trainables.pictures.line_charts import Curve, draw_chart
from trainables.workloads.pruning.config import PruningConfig, Regularisation
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import count_prunable
from trainables.workloads.pruning.pull_schedules import compute_lambda, compute_progress
from trainables.workloads.pruning.rounds import Round

ROUND_COLUMNS = (
    *("Round", "Target %", "Remaining %", "Structured sparsity %", "Parameters", "MACs"),
    *("Val %", "Test %", "Test % at best val", "Dense test %", "Difference", "Right after pruning %"),
    *("Lambda", "Doomed / kept"),
    *("MACs %", "Target MACs %", "Given weights' test %"),  # last, so that tables begun without them go on
)
LATENCY_COLUMNS = ("Latency ms", "Dense latency ms", "Latency %", "Target latency %")
"""Of `eval/rounds`, with a target in latency alone."""
LAYER_COLUMNS = ("Round", "Layer", "Sparsity %", "Gone", "Total")
MAX_POINTS = 500


def draw_rounds(
    rounds: Sequence[Round],
    config: PruningConfig,
    progress: Progress,
    blueprint: Blueprint,
    *,
    ends_round: bool,
    pretrained_accuracy: float | None,
) -> list[Panel]:
    """Draw `eval/lambda_curve` in an rsst round; at a round's end both tables and `eval/accuracy_versus_size`.

    Each table gets the rows of the round that ends, because the rows of earlier steps stay. `blueprint` is that of the
    network without marked units, and `pretrained_accuracy` the test accuracy of the given weights before any training,
    in percent.
    """
    panels: list[Panel] = []
    if config.struct == "rsst" and rounds[-1].number:
        panels.append(_draw_lambda(config.regularisation, progress, rounds[-1].number))
    if ends_round:
        panels += [
            _round_table(rounds, pretrained_accuracy, has_latency=config.target_latency is not None),
            _layer_table(rounds[-1].number, blueprint),
            _draw_sizes(rounds),
        ]
    return panels


def _draw_lambda(settings: Regularisation, progress: Progress, number: int) -> ImagePanel:
    total = progress.steps_per_stage
    done = progress.step - number * total or total
    steps = range(0, done, max(1, done // MAX_POINTS))
    points = [(float(step + 1), compute_lambda(compute_progress(step, total, settings), settings)) for step in steps]
    title = f"Round {number}: strength of the pull, schedule {settings.schedule}"
    chart = draw_chart(title, "Step of the round", "lambda", [Curve("lambda", points)])
    return ImagePanel("eval/lambda_curve", chart[None], [f"round {number}"], columns=1)


def _draw_sizes(rounds: Sequence[Round]) -> ImagePanel:
    points = [(record.macs / 1e6, record.test_accuracy) for record in rounds]
    best = [(record.macs / 1e6, record.best_test_accuracy) for record in rounds]
    lines = [Curve("at the round's end", points, has_markers=True), Curve("at the best validation", best, True)]
    chart = draw_chart("Accuracy against size", "Million MACs for one image", "Test accuracy %", lines)
    return ImagePanel("eval/accuracy_versus_size", chart[None], [f"rounds 0 to {rounds[-1].number}"], columns=1)


def _round_table(rounds: Sequence[Round], given: float | None, *, has_latency: bool) -> TablePanel:
    record, dense = rounds[-1], rounds[0].best_test_accuracy
    row: list[float | int | str | torch.Tensor] = [
        *(record.number, _or_blank(record.target_weight), record.remain_weight, record.structured_sparsity),
        *(record.parameters, record.macs, record.val_accuracy, record.test_accuracy, record.best_test_accuracy),
        *(dense, record.best_test_accuracy - dense),
        _or_blank(record.test_accuracy_after_pruning),
        record.lambda_final,
        _or_blank(record.doomed_norm_ratio),
        *(record.macs_share, _or_blank(record.target_macs), _or_blank(given)),
    ]
    if not has_latency:
        return TablePanel("eval/rounds", ROUND_COLUMNS, [row])
    names = ("latency_ms", "dense_latency_ms", "latency_share")
    row += [*(record.latency.get(name, "") for name in names), _or_blank(record.target_latency)]
    return TablePanel("eval/rounds", (*ROUND_COLUMNS, *LATENCY_COLUMNS), [row])


def _layer_table(number: int, blueprint: Blueprint) -> TablePanel:
    """Tabulate the physically removed weights of each prunable tensor; the last row is their sum."""
    dense, now = count_prunable(blueprint.dense()), count_prunable(blueprint)
    dense, now = {**dense, "total": sum(dense.values())}, {**now, "total": sum(now.values())}
    rows = [[number, name, 100 * (1 - now[name] / dense[name]), dense[name] - now[name], dense[name]] for name in dense]
    return TablePanel("eval/layer_sparsity", LAYER_COLUMNS, rows)


def _or_blank(value: float | None) -> float | str:
    return "" if value is None else value
