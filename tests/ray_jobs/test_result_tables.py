"""Results beside baselines."""

from ray_jobs.result_tables import (
    compare_results,
    explain_mark,
    is_result,
    shortest_ends,
    tabulate_results,
    tabulate_training,
)
from trainables.workloads.pruning.config import PruningConfig

METRICS = {
    "step": 8,
    "test/abs": 1.0,
    "test/mse": 0.25,
    "baseline/test/mse": 4.0,
    "train/loss": 1.5,
    "train/grad_norm": 2.0,
    "test/parameters": 195974.0,
}


def lines_of(table) -> list[list[str]]:
    return [line.split() for line in str(table).splitlines()]


def test_the_selection_metric_comes_first_and_is_marked(toy):
    table = tabulate_results(METRICS, toy().workload, title="best")
    assert lines_of(table) == [
        ["best"],
        ["metric", "value", "baseline"],
        ["test/mse", "*", "0.25", "4"],
        ["test/abs", "1"],
        ["test/parameters", "195,974"],
    ]
    assert list(table.strong) == [0]
    assert explain_mark(toy().workload, METRICS) == ["* decides which model is best: the lower the better"]


def test_a_confidence_interval_stands_beside_its_metric(toy):
    ends = {"test/mse_low": 0.125, "test/mse_high": 0.5, "other_low": 1.0}
    table = lines_of(tabulate_results(METRICS | ends, toy().workload))
    assert table[0] == ["metric", "value", "95", "%", "interval", "baseline"]
    assert table[1] == ["test/mse", "*", "0.25", "0.1250", "to", "0.5000", "4"]
    assert [row[0] for row in table[2:]] == ["other_low", "test/abs", "test/parameters"]


def test_numbered_metrics_are_in_the_order_of_their_numbers(toy):
    names = [f"eval/mse/t+{place}" for place in (1, 2, 10, 11, 100)]
    metrics = dict.fromkeys([*reversed(names), "eval/mse"], 1.0)
    assert [row[0] for row in lines_of(tabulate_results(metrics, toy().workload))[1:]] == ["eval/mse", *names]


def test_without_baselines_there_is_no_column_for_them(toy):
    assert lines_of(tabulate_results({"a": 1.0}, toy().workload)) == [["metric", "value"], ["a", "1"]]
    assert explain_mark(toy().workload, {"a": 1.0}) == []


def test_what_a_workload_renames_is_no_result():
    workload = PruningConfig.model_construct(name="pruning")
    names = ["loss", "top1_acc", "train/loss", "val/epoch", "baseline/val_accuracy", "val_accuracy", "macs"]
    assert [name for name in names if is_result(name, workload)] == ["val_accuracy", "macs"]


def test_a_training_without_evaluation_shows_what_it_measured():
    table = tabulate_training({"train/loss": 1.5, "train/epoch": 3, "baseline/x": 1.0})
    assert lines_of(table) == [["metric", "value"], ["train/loss", "1.5"]]


def test_a_comparison_has_a_column_per_model_and_the_baseline(toy):
    first = {"test/mse": 27.5, "baseline/test/mse": 25.0, "n": 2.0}
    second = {"test/mse": 28.123456, "baseline/test/mse": 25.0}
    table = compare_results({"run/models/a": first, "run/models/b": second}, toy().workload)
    assert lines_of(table) == [
        ["metric", "a", "b", "baseline"],
        ["test/mse", "*", "27.5000", "28.1235", "25.0000"],
        ["n", "2"],
    ]


def test_baselines_that_differ_have_a_row(toy):
    results = {"a": {"m": 1.5, "baseline/m": 2.0}, "b": {"m": 1.0, "baseline/m": 3.0}}
    assert lines_of(compare_results(results, toy().workload)) == [
        ["metric", "a", "b"],
        ["m", "1.5000", "1.0000"],
        ["baseline/m", "2", "3"],
    ]


def test_paths_are_shortened_to_what_tells_them_apart():
    assert shortest_ends(["/x/a/m/1", "/x/b/m/1", "/x/b/m/2"]) == ["a/m/1", "b/m/1", "b/m/2"]
    assert shortest_ends(["/x/models/1"]) == ["1"]
