"""Pictures of a split's confusion matrix, ROC curves and precision-recall curves."""

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from data_pipelines.heart_sounds.tasks import HeartTask
from trainables.contract.panels import ImagePanel
from trainables.line_charts import Curve, draw_chart
from trainables.metrics.classification import (
    compute_auroc,
    compute_average_precision,
    count_confusion,
    precision_recall_curve,
    roc_curve,
)
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, decide

CELL, MARGIN = 90, 110
INK = (30, 30, 30)


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
    side = CELL * len(names)
    image = Image.new("RGB", (MARGIN + side, MARGIN + side), (255, 255, 255))
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(size=14)
    canvas.text((8, 8), "true (rows), answered (columns)", INK, font)
    for row, name in enumerate(names):
        middle = MARGIN + CELL * row + CELL // 2
        canvas.text((MARGIN - 8, middle), name, INK, font, anchor="rm")
        canvas.text((middle, MARGIN - 8), name, INK, font, anchor="mb")
        for column in range(len(names)):
            share = counts[row, column] / max(counts[row].sum(), 1)
            left, top = MARGIN + CELL * column, MARGIN + CELL * row
            shade = round(255 - 160 * share)
            canvas.rectangle([left, top, left + CELL - 1, top + CELL - 1], (shade, shade, 255), INK)
            canvas.text((left + CELL // 2, top + CELL // 2), str(counts[row, column]), INK, font, anchor="mm")
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)
