"""Pictures of a split's confusion matrix, ROC curves and precision-recall curves."""

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.contract.panels import ImagePanel
from trainables.metrics.classification import (
    compute_auroc,
    compute_average_precision,
    count_confusion,
    precision_recall_curve,
    roc_curve,
)
from trainables.pictures.line_charts import DPI, INK, Curve, draw_chart, pixels_of
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, decide

CELL, MARGIN = 90, 70
"""Pixels of a cell's side, and above and beside all cells."""


def draw_split(split: str, answers: Answers, task: HeartTask, rule: DecisionRule) -> list[ImagePanel]:
    """Draw the confusion matrix, and the curves of the classes for which they are defined."""
    predicted = decide(answers.probabilities, task, rule)
    confusion = count_confusion(answers.label, predicted, len(task.classes))
    panels = [ImagePanel(f"{split}/confusion_matrix", draw_confusion(confusion, task.classes)[None])]
    roc, recall = [], []
    for label in [task.positive] if len(task.classes) == 2 else range(len(task.classes)):
        is_positive, values, name = answers.label == label, answers.probabilities[:, label], task.classes[label]
        auroc, auprc = compute_auroc(is_positive, values), compute_average_precision(is_positive, values)
        if auroc is not None:
            roc.append(Curve(f"{name} {auroc:.3f}", list(zip(*roc_curve(is_positive, values), strict=True))))
        if auprc is not None:
            points = list(zip(*precision_recall_curve(is_positive, values), strict=True))
            recall.append(Curve(f"{name} {auprc:.3f}", [(0.0, points[0][1]), *points]))
    if roc:
        diagonal = Curve("chance", [(0.0, 0.0), (1.0, 1.0)])
        roc_picture = draw_chart(f"{split}: ROC", "false positive rate", "sensitivity", [*roc, diagonal][:4])
        panels.append(ImagePanel(f"{split}/roc_curve", roc_picture[None]))
    if recall:
        frame = [Curve("", [(0.0, 0.0), (0.0, 0.0)])]
        picture = draw_chart(f"{split}: precision and recall", "recall", "precision", [*recall, *frame])
        panels.append(ImagePanel(f"{split}/pr_curve", picture[None]))
    return panels


def draw_confusion(counts: np.ndarray, names: tuple[str, ...]) -> UInt8[Tensor, "3 height width"]:
    """Draw a confusion matrix: rows are true classes and columns answers.

    Darker cells have a larger share of the row.
    """
    from matplotlib.figure import Figure

    side = (MARGIN + CELL * len(names)) / DPI
    figure = Figure(figsize=(side, side), dpi=DPI)
    axes = figure.add_axes((MARGIN / DPI / side, 0.02, 1 - MARGIN / DPI / side - 0.02, 1 - MARGIN / DPI / side - 0.02))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4)  # so that the counts can be read on the darkest
    for (row, column), count in np.ndenumerate(counts):
        axes.text(column, row, str(count), ha="center", va="center", color=INK, fontsize=11)
    axes.set_xticks(range(len(names)), names, fontsize=10, color=INK)
    axes.set_yticks(range(len(names)), names, fontsize=10, color=INK, rotation=90, va="center")
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("answered", color=INK, fontsize=10)
    axes.set_ylabel("true", color=INK, fontsize=10)
    return torch.from_numpy(pixels_of(figure)).permute(2, 0, 1)
