"""Gauges of a run, and the dashboard that shows them."""

import json
import re
from pathlib import Path

from ray_jobs.tracking.run_gauges import WORDS, find_values
from tests.ray_jobs.run_folder.test_run_recorder import make_report
from trainables.engine.files.messages import WorkerReport

ROOT = Path(__file__).resolve().parents[3]


SPEED = {
    "samples_per_s": 10.0,
    "data_wait_ratio": 0.01,
    "evaluation_s": 2.0,
    "peak_memory_mib": 3.0,
    "checkpoint_s": 4.0,
}


def report_of(**metrics: float) -> WorkerReport:
    return make_report(7, metrics=metrics, learning_rate=0.1, speed=SPEED, system={"system/mfu": 0.4})


def test_each_gauge_has_the_reports_value():
    found = find_values(report_of(**{"train/loss": 0.25, "val/auroc": 0.5}))
    assert set(found) == set(WORDS)
    assert found["quintet_step"] == 7 and found["quintet_loss"] == 0.25
    assert found["quintet_peak_memory_bytes"] == 3 * 1024 * 1024
    assert find_values(report_of(loss=3.0))["quintet_loss"] == 3
    assert (found["quintet_checkpoint_seconds"], found["quintet_mfu"]) == (4.0, 0.4)
    assert "quintet_loss" not in find_values(report_of())


def test_the_dashboard_shows_gauges_that_there_are():
    dashboard = json.loads((ROOT / "docs/grafana.json").read_text())
    shown = set(re.findall(r"ray_(quintet_\w+)", json.dumps(dashboard)))
    assert len(shown) >= 6 and shown <= set(WORDS)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
