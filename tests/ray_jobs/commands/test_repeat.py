"""Several seeds of one experiment against the statistics of their own results."""

import csv
import json
import statistics

import pytest

from ray_jobs.cli import main
from ray_jobs.commands.repeat import find_variants, summarise, tabulate_spreads
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.pruning.config import PruningConfig

EXPERIMENT = """
workload:
  name: heart_sound_finetune
  data: {sample_rate: 1000, num_samples: 128, synthetic: {num_subjects: 12, duration_s: 4}}
  encoder: {channels: [4, 4, 4, 4], num_layers: 1, state_size: 2}
training: {epochs: 1, batch_size: 16}
scaling: {num_workers: 0}
"""


def test_spread_is_the_sample_deviation_of_runs_with_the_metric():
    found = summarise([{"a": 1.0, "b": 2.0}, {"a": 4.0}, {"a": 7.0}])
    assert (found["a"].mean, found["a"].deviation, found["a"].count) == (4.0, 3.0, 3)
    assert (found["b"].mean, found["b"].deviation, found["b"].count) == (2.0, 0.0, 1)


def test_spreads_stand_beside_baselines_best_metric_first(toy):
    runs = [{"test/a": 1.0, "test/mse": 4.0, "train/loss": 1.0, "baseline/test/mse": 9.0}, {"test/mse": 6.0}]
    table = tabulate_spreads(summarise(runs), toy().workload)
    assert [line.split() for line in str(table).splitlines()] == [
        ["metric", "mean", "std", "baseline", "runs"],
        ["test/mse", "*", "5", "1.414", "9", "2"],
        ["test/a", "1", "0", "1"],
    ]


@pytest.mark.slow
def test_repeat_trains_each_seed_once_and_gives_mean_and_spread(tmp_path, capsys):
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    command = ["repeat", str(tmp_path / "e.yaml"), "--seeds", "3,5", "--set", f"storage.path={tmp_path}", "--json"]
    assert main([*command, "--set", "tracking.run_name=few"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["runs"] == ["few-seed3", "few-seed5"]
    finals = [json.loads((tmp_path / f"runs/{run}/final_metrics.json").read_text()) for run in summary["runs"]]
    values = [final["best_metrics"]["val/loss"] for final in finals]
    assert values[0] != values[1]
    found = summary["metrics"]["val/loss"]
    assert found == pytest.approx({"mean": statistics.fmean(values), "deviation": statistics.stdev(values), "count": 2})


@pytest.mark.slow
def test_folds_test_each_subject_once_by_a_model_that_never_saw_it(tmp_path, capsys):
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    command = ["repeat", str(tmp_path / "e.yaml"), "--folds", "3", "--set", f"storage.path={tmp_path}", "--json"]
    assert main([*command, "--set", "tracking.run_name=cv"]) == 0
    out = capsys.readouterr().out
    summary = json.loads(out.splitlines()[-1])
    assert summary["runs"] == ["cv-fold1of3", "cv-fold2of3", "cv-fold3of3"] and "all folds" in out
    with (tmp_path / "repeats/cv/predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    folds: dict[str, set[str]] = {}
    for row in rows:
        folds.setdefault(row["patient"], set()).add(row["fold"])
    assert len(folds) == 12 and all(len(found) == 1 for found in folds.values())
    answers = {row["recording"]: (row["truth"], row["recording_answer"]) for row in rows}
    right = [truth == answer for truth, answer in answers.values()]
    metrics = summary["out_of_fold"]["metrics"]
    assert metrics["test/num_recordings"] == len(answers) == 24
    assert metrics["test/accuracy"] == pytest.approx(sum(right) / 24)
    assert metrics["test/accuracy_low"] <= metrics["test/accuracy"] <= metrics["test/accuracy_high"]
    assert (tmp_path / "repeats/cv/pictures/test/calibration").is_dir()
    evaluations = tmp_path / "runs/cv-fold2of3/evaluations"
    for change, count in (("", 1), ("other data", 2), ("no table", 3)):
        if change == "other data":
            before = json.loads((evaluations / "001/metrics.json").read_text())
            (evaluations / "001/metrics.json").write_text(json.dumps({**before, "source_hash": change}))
        elif change == "no table":
            (evaluations / "002/predictions.csv").unlink()
        assert main([*command, "--set", "tracking.run_name=cv"]) == 0
        out = capsys.readouterr().out
        assert len([*evaluations.iterdir()]) == count and "cv-fold1of3 is already evaluated" in out
        assert ("cv-fold2of3 is already evaluated" in out) == (not change)
        assert json.loads(out.splitlines()[-1])["out_of_fold"] == summary["out_of_fold"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--seeds N,N,... or --folds N"),
        (["--folds", "1"], "'1' is no kind of folds of synthetic_murmur: give a number from 2 on"),
        (["--folds", "database"], "no kind of folds"),
    ],
)
def test_what_is_no_repetition_is_refused(tmp_path, capsys, words, message):
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    assert main(["repeat", str(tmp_path / "e.yaml"), *words, "--set", f"storage.path={tmp_path}"]) == 2
    assert message in capsys.readouterr().err


def test_seeds_and_folds_are_joined():
    workload = FinetuneConfig(task="physionet2016")
    assert list(find_variants(workload, [1, 2], "2")) == [f"fold{f}of2-seed{s}" for s in (1, 2) for f in (1, 2)]
    left_out = find_variants(workload, None, "database")
    assert left_out["database_c"] == {"workload.data.held_out_database": "c"} and len(left_out) == 6
    with pytest.raises(ValueError, match="the workload pruning has no folds"):
        find_variants(PruningConfig(), None, "5")


@pytest.mark.parametrize("seeds", ["", "1,x", "1,1"])
def test_seeds_that_are_none_are_refused(tmp_path, capsys, seeds):
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    assert main(["repeat", str(tmp_path / "e.yaml"), "--seeds", seeds]) == 2
    assert "--seeds" in capsys.readouterr().err
