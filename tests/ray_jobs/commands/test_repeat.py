"""Several seeds of one experiment against the statistics of their own results."""

import json
import statistics

import pytest

from ray_jobs.cli import main
from ray_jobs.commands.repeat import summarise, tabulate_spreads

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
        ["metric", "mean", "std", "baseline", "seeds"],
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


@pytest.mark.parametrize("seeds", [None, "", "1,x", "1,1"])
def test_seeds_that_are_none_are_refused(tmp_path, capsys, seeds):
    (tmp_path / "e.yaml").write_text(EXPERIMENT)
    assert main(["repeat", str(tmp_path / "e.yaml"), *(["--seeds", seeds] if seeds is not None else [])]) == 2
    assert "--seeds" in capsys.readouterr().err
