"""Metrics that belong together share a chart, whatever the workload."""

import pytest

from ray_jobs.report.charts.chart_groups import Words, group, profiles, read_name

EACH = [(float(step), 1.0 / step) for step in range(1, 101)]
FEW = [(50.0, 2.0), (100.0, 1.0)]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train/loss", Words("loss", "train", "", False)),
        ("train/epoch_loss", Words("loss", "train", "", True)),
        ("val_accuracy", Words("accuracy", "val", "", False)),
        ("baseline/test/f1", Words("f1", "test", "", False)),
        ("eval/mse/t+1", Words("mse", "eval", "t+1", False)),
        ("learning_rate/classifier", Words("learning_rate", "", "classifier", False)),
        ("best_test_accuracy", Words("best_test_accuracy", "", "", False)),
        ("test", Words("test", "", "", False)),
    ],
)
def test_a_name_tells_what_is_measured_where(name, words):
    assert read_name(name) == words


def test_charts_are_ordered_goal_losses_evaluations_steps():
    curves = {"train/grad_norm": EACH, "train/loss": EACH, "val/f1": FEW, "val/auroc": FEW, "train/epoch_loss": FEW}
    charts = group(curves, "val/auroc", 100)
    assert [chart.title for chart in charts] == ["val/auroc", "loss", "val/f1", "train/grad_norm"]
    assert charts[0].marks == [((100.0, 1.0), "best")]
    mean, each = charts[1].lines
    assert (mean.name, mean.kind, each.name, each.kind) == ("train/epoch_loss", "line", "train/loss", "faint")


def test_a_split_and_its_baseline_share_one_colour():
    names = ("train/f1", "val/f1", "test/f1", "baseline/val/f1", "test/acc")
    lines = {line.name: line for chart in group(dict.fromkeys(names, FEW), None, None) for line in chart.lines}
    assert lines["test/f1"].colour == lines["test/acc"].colour != lines["val/f1"].colour != lines["train/f1"].colour
    assert lines["baseline/val/f1"].colour == lines["val/f1"].colour and lines["baseline/val/f1"].kind == "dashed"
    assert [lines[name].label for name in names[:4]] == ["train", "val", "test", "baseline"]


def test_numbered_parts_are_also_drawn_over_their_number():
    curves = {
        f"{kind}eval/mse/t+{n}": [(1.0, 0.0), (2.0, n * scale)]
        for n in (1, 2, 10)
        for kind, scale in (("", 1.0), ("baseline/", 3.0))
    }
    [chart] = profiles(curves)
    assert chart.title == "eval/mse, last evaluation" and chart.x_label == "t + n"
    assert [(line.name, list(line.points)) for line in chart.lines] == [
        ("eval/mse", [(1.0, 1.0), (2.0, 2.0), (10.0, 10.0)]),
        ("baseline/eval/mse", [(1.0, 3.0), (2.0, 6.0), (10.0, 30.0)]),
    ]
    assert profiles({"a/t+1": FEW, "a/t+2": FEW, "loss": EACH}) == []


def test_no_metrics_are_no_charts():
    assert group({}, "val/auroc", None) == []
