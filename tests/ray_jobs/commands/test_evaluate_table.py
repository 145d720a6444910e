"""Several checkpoints in one `evaluate`."""

import json

from ray_jobs.cli import main
from ray_jobs.runs.training import train


def test_several_checkpoints_are_evaluated_and_compared(toy, tmp_path, capsys):
    experiment = toy(training={"keep_checkpoints": 5}, tracking={"run_name": "mine"})
    train(experiment)
    file = tmp_path / "experiment.yaml"
    file.write_text(json.dumps(experiment.model_dump(mode="json")))
    paths = [experiment.folder.full(f"checkpoints/{name}") for name in experiment.folder.names("checkpoints")[-2:]]
    capsys.readouterr()
    arguments = [word for path in paths for word in ("--checkpoint", path)]
    assert main(["evaluate", str(file), *arguments, "--json"]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    summaries = json.loads(last)["evaluations"]
    assert [summary["checkpoint"] for summary in summaries] == paths
    head, row = lines[-2:]
    assert head.split() == ["metric", *(path.rpartition("/")[2] for path in paths), "baseline"]
    values = [f"{summary['metrics']['test/mse']:.4f}" for summary in summaries]
    assert row.split() == ["test/mse", "*", *values, f"{summaries[0]['metrics']['baseline/test/mse']:.4f}"]
    assert experiment.folder.names("evaluations") == ["001", "002"]
