"""The demonstration: a local Ray cluster, a submitted training on real handwritten digits, its evaluation, pictures."""

import argparse
import json
from pathlib import Path

from ray_jobs.cluster.local_cluster import LocalCluster
from ray_jobs.result_tables import explain_mark, tabulate_results
from ray_jobs.run_folder.run_recorder import FINAL
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.settings.experiment import Experiment
from ray_jobs.terminal import print_text, show
from ray_jobs.text_table import TextTable

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "ray_jobs/experiments/demo/flow_matching.yaml"
OUT = ROOT / "out"


def main() -> int:
    """Train and evaluate on a cluster that lives for this command only; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--set", metavar="SECTION.FIELD=VALUE", action="append", default=[], help="change one setting")
    overrides = [f"storage.path={OUT}", *parser.parse_args().set]
    experiment = load_experiment(ROOT / EXPERIMENT, overrides)
    arguments = [EXPERIMENT, *(word for override in overrides for word in ("--set", override))]
    again = ["--new"] if experiment.folder.exists(FINAL) else []
    with LocalCluster() as cluster:
        code = cluster.submit(["train", *arguments, *again], working_dir=ROOT)
        if code == 0:
            # one process is enough to evaluate; it runs on the head without further workers
            code = cluster.submit(["evaluate", *arguments, "--set", "scaling.num_workers=0"], working_dir=ROOT)
    if code:
        print_text(f"the demonstration failed; see {experiment.folder}/train.log", is_error=True)
        return code
    show(*summarise(experiment))
    return 0


def summarise(experiment: Experiment) -> list[str | TextTable]:
    """Return the run's folder, the results of its best model, and its newest pictures."""
    folder = experiment.folder
    evaluation = folder.names("evaluations")[-1]
    metrics = json.loads(folder.read(f"evaluations/{evaluation}/metrics.json"))["metrics"]
    pictures = sorted(Path(folder.path, "pictures").rglob("step_*.png"))
    newest = {picture.parent: picture for picture in pictures}.values()
    return [
        "",
        f"run:      {folder}",
        tabulate_results(metrics, experiment.workload, title="best model:"),
        *explain_mark(experiment.workload, metrics),
        "pictures:",
        *(f"  {picture}" for picture in newest),
    ]


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        print_text("interrupted; the cluster is stopped, and the same command goes on from the last checkpoint")
        raise SystemExit(130) from None
