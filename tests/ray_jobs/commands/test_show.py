"""The `show` verb tells the name, the folder and the state of the run."""

import re

import yaml

from ray_jobs.cli import main
from ray_jobs.run_folder.identity import load_identity
from ray_jobs.runs.experiment_loader import load_experiment
from tests.ray_jobs.command import call


def lines_of(capsys, *words) -> dict[str, str]:
    main(["show", *map(str, words)])
    text = capsys.readouterr().out.partition("---\n")[2]
    return dict(re.split(r":\s+", line, maxsplit=1) for line in text.splitlines())


def test_a_run_that_is_not_there_yet(file, tmp_path, capsys):
    shown = lines_of(capsys, file)
    assert shown["run"] == "toy-run"
    assert shown["folder"] == f"{tmp_path}/storage/runs/toy-run (not there yet; `train` makes it)"
    assert call(capsys, "show", file)[1]["state"] == "new" and not (tmp_path / "storage").exists()


def test_an_automatic_name_has_places_for_date_and_time(tmp_path, capsys):
    words = ["demo/flow_matching", "--set", f"storage.path={tmp_path}"]
    assert lines_of(capsys, *words)["run"] == "flow_matching_digits_independent_ch32_<date>_<time>"


def test_the_state_of_a_worker_is_told_for_both_ways(tmp_path, capsys):
    words = ["demo/flow_matching", "--set", f"storage.path={tmp_path}"]
    assert lines_of(capsys, *words)["training state"].startswith("for each worker 14.3 MiB with ddp: weights, ")
    words += ["--set", "scaling.num_workers=4"]
    assert lines_of(capsys, *words)["training state"].startswith("for each worker 14.3 MiB with ddp or 3.6 MiB with f")
    held = call(capsys, "show", *words)[1]["state_bytes"]["ddp"]
    assert held == {"weights": 3_000_708, "gradients": 3_000_708, "moments": 6_001_416, "ema": 3_000_708}


def test_a_finished_run_has_the_name_that_it_got(file, tmp_path, capsys):
    settings = yaml.safe_load(file.read_text())
    del settings["tracking"]
    file.write_text(yaml.safe_dump(settings))
    folder = load_experiment(file).folder
    folder.write_json("experiment.json", {})
    assert "(begun; `train` resumes it)" in lines_of(capsys, file)["folder"]
    folder.delete("experiment.json")
    main(["train", str(file)])
    capsys.readouterr()
    shown = lines_of(capsys, file)
    assert shown["run"] == load_identity(folder).name and "(finished; `train --new`" in shown["folder"]


def test_shared_rows_are_named_before_and_after_they_are_stored(tmp_path, capsys):
    words = ["demo/pruning", "--set", f"storage.path={tmp_path}", "--set", "workload.data.validation_ratio=0.1"]
    before = lines_of(capsys, *words)
    code, summary, _ = call(capsys, "prepare", *words)
    (store,) = summary["stores"]
    assert code == 0 and store["rows"] == 1797 and str(tmp_path / "data" / "digits-") in store["folder"]
    shared = f"chosen from those in {store['folder']}, which other settings share"
    assert before["rows"] == f"to be {shared}" and lines_of(capsys, *words)["rows"] == shared
    main(["prepare", *words])
    assert f"chosen from the 1,797 rows in {store['folder']}, which other settings share" in capsys.readouterr().out
