"""The command line on the toy workload: help, exit codes, hints, and the line of JSON."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ray_jobs.cli import BAD_INPUT, DONE, FAILED, VERBS, main
from ray_jobs.runs.experiment_loader import load_experiment
from tests.ray_jobs.command import call, fail
from trainables.ray_train.worker_main import RunError


def test_show_tells_size_and_data_and_writes_nothing(file, tmp_path, capsys):
    code, summary, _ = call(capsys, "show", file)
    assert code == DONE
    weights = 8 * 8 + 8 + 2 * 8 + 8 + 1  # linear, norm, linear
    assert summary["parameters"] == weights
    assert summary["macs"] == 8 * 8 + 8
    assert (summary["train_rows"], summary["steps_per_epoch"], summary["prepared"]) == (32, 4, None)
    assert (summary["run_id"], summary["data"]) == ("toy-run", "made-up points")
    assert not (tmp_path / "storage").exists()


def test_show_prints_settings_that_load_as_the_same_experiment(file, tmp_path, capsys):
    assert main(["show", str(file), "--set", "training.batch_size=16"]) == DONE
    shown = capsys.readouterr().out.partition("---\n")[0]
    copy = tmp_path / "copy.yaml"
    copy.write_text(shown)
    assert load_experiment(copy) == load_experiment(file, ["training.batch_size=16"])


def test_show_works_before_the_data_path_is_given(tmp_path, capsys):
    file = tmp_path / "murmurs.yaml"
    file.write_text("workload: {name: heart_sound_finetune, task: circor_murmur}\ntraining: {epochs: 1}\n")
    assert main(["show", str(file), "--json"]) == DONE
    shown, _, last = capsys.readouterr().out.rstrip().rpartition("\n")
    summary = json.loads(last)
    assert summary["run_id"].startswith("heart_sound_finetune-")
    assert (summary["parameters"], summary["data"]) == (None, None)
    assert "task: circor_murmur" in shown
    assert "not known yet:    the task circor_murmur needs `workload.data.circor`" in shown


def test_prepare_tells_the_folder_and_its_rows(file, tmp_path, capsys):
    code, summary, _ = call(capsys, "prepare", file)
    assert code == DONE
    assert summary == {"folder": str(tmp_path / "storage/data/toy-32-None"), "rows": {"train": 32, "test": 16}}
    assert (Path(summary["folder"]) / "manifest.json").is_file()


def test_an_unknown_verb_is_refused_with_the_nearest_one(file, capsys):
    code, message = fail(capsys, "trian", file)
    assert code == BAD_INPUT
    assert message == (
        "'trian' is not a verb; did you mean 'train'? allowed: app, check, clean, evaluate, export, list, predict, "
        "prepare, repeat, report, show, submit, sweep, sync, train"
    )


def test_without_json_an_error_is_one_paragraph_on_stderr(file, capsys):
    assert main(["show", str(file), "--set", "training.epoch=1"]) == BAD_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ") and "training.epoch: there is no such setting" in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize("verb", ["show", "prepare", "train", "evaluate"])
def test_a_missing_experiment_file_is_bad_input(tmp_path, capsys, verb):
    code, message = fail(capsys, verb, tmp_path / "absent.yaml")
    assert code == BAD_INPUT and "absent.yaml: there is no such file" in message


@pytest.mark.parametrize("verb", ["prepare", "train"])
def test_a_missing_input_path_is_named_with_its_dotted_key(file, tmp_path, capsys, verb):
    settings = yaml.safe_load(file.read_text())
    missing = tmp_path / "no-weights.pth"
    settings["workload"] = {"name": "flow_matching", "evaluation": {"inception_weights": str(missing)}}
    file.write_text(yaml.safe_dump(settings))
    code, message = fail(capsys, verb, file)
    assert code == BAD_INPUT
    assert f"workload.evaluation.inception_weights: there is no such file or folder: {missing}" in message


@pytest.mark.parametrize("verb", ["prepare", "train", "evaluate"])
def test_a_storage_path_that_cannot_be_made_is_bad_input(file, tmp_path, capsys, verb):
    (tmp_path / "plain-file").write_text("in the way")
    code, message = fail(capsys, verb, file, "--set", f"storage.path={tmp_path / 'plain-file' / 'inside'}")
    assert code == BAD_INPUT
    assert "plain-file" in message


def test_a_storage_scheme_that_is_unknown_is_bad_input(file, capsys):
    code, message = fail(capsys, "train", file, "--set", "storage.path=gopher://host/x")
    assert code == BAD_INPUT and "gopher" in message


def test_a_run_that_fails_has_its_own_exit_code(file, capsys):
    code, message = fail(capsys, "train", file, "--set", "workload.nan_at_row=3")
    assert code == FAILED
    assert "train/loss is not finite at step" in message


def test_an_interrupted_command_says_how_to_resume(file, capsys, monkeypatch):
    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ray_jobs.commands.train.run", interrupt)
    assert main(["train", str(file)]) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(ValueError, BAD_INPUT), (RuntimeError, FAILED), (RunError, FAILED)])
def test_the_kind_of_error_decides_the_exit_code(file, capsys, monkeypatch, error, code):
    def raises(options):
        raise error("the cause")

    monkeypatch.setattr("ray_jobs.commands.train.run", raises)
    assert fail(capsys, "train", file) == (code, "the cause")


@pytest.mark.slow
def test_new_trains_a_finished_run_again(file, tmp_path, capsys):
    run = tmp_path / "storage/runs/toy-run"
    assert main(["train", str(file)]) == DONE
    first = (run / "metrics.jsonl").read_bytes()
    assert main(["train", str(file), "--new"]) == DONE
    assert (run / "metrics.jsonl").read_bytes() == first == (run / "earlier/001/metrics.jsonl").read_bytes()


# ---- help, and options by verb

ROOT = Path(__file__).resolve().parents[2]


def show_help(capsys, *words: str) -> str:
    with pytest.raises(SystemExit) as ending:
        main([*words, "--help"])
    assert ending.value.code == DONE
    return capsys.readouterr().out


def test_the_plots_of_a_notebook_around_do_no_harm(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "nonsense")  # as of a notebook, whose packages may not be installed here
    words = "from ray_jobs.cli import main; main(['list']); import matplotlib"
    subprocess.run([sys.executable, "-c", words], check=True, capture_output=True)


def test_a_working_folder_that_is_gone_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["quintet", "list"])
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main() == BAD_INPUT
    assert capsys.readouterr().err == "error: the working folder was removed; change into one that is there\n"


def test_help_lists_every_verb_with_a_line(capsys):
    text = show_help(capsys)
    assert text.startswith("usage: quintet VERB")
    for name, verb in VERBS.items():
        assert re.search(rf"(?m)^    {name} +{re.escape(verb.SUMMARY)}$", text), name


def test_help_of_a_verb_shows_its_own_options_alone(capsys):
    text = show_help(capsys, "train")
    assert set(re.findall(r"(?m)^  (--\w+)", text)) == {"--set", "--new", "--json"}
    assert "quintet train [-h]" in text and "EXPERIMENT" in text and VERBS["train"].EXAMPLE in text


def test_no_verb_at_all_is_bad_input_and_shows_the_help(capsys):
    with pytest.raises(SystemExit) as ending:
        main([])
    assert ending.value.code == BAD_INPUT
    assert "verbs:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "x.yaml", "--seeds"], "unknown argument '--seeds'; did you mean 'set'? allowed: json, new, set"),
        (["repeat", "x.yaml", "--seed=1", "--seeds=1"], "unknown argument '--seed=1'; did you mean 'seeds'?"),
        (["show", "x.yaml", "y.yaml"], "unknown argument 'y.yaml'; allowed: json, set"),
        (["show", "x.yaml", "--chekpoint", "y"], "unknown argument '--chekpoint'; allowed: json, set"),
    ],
)
def test_an_option_of_another_verb_is_refused(capsys, words, hint):
    code, message = fail(capsys, *words)
    assert code == BAD_INPUT and hint in message


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["train"], "train needs an experiment: quintet train EXPERIMENT"),
        (["train", "x.yaml", "--set"], "--set needs a value"),
        (["repeat", "x.yaml"], "repeat needs --seeds"),
        (["sweep", "x.yaml", "--extend", "few"], "--extend: invalid int value: 'few'"),
        (["check", "--set", "seed=1"], "name one: quintet check EXPERIMENT"),
    ],
)
def test_what_an_option_lacks_is_said(capsys, words, cause):
    code, message = fail(capsys, *words)
    assert code == BAD_INPUT and cause in message


def test_options_may_stand_before_experiment_and_verb(file, capsys):
    _, after, _ = call(capsys, "show", file, "--set", "seed=3")
    _, before, _ = call(capsys, "show", "--set", "seed=3", file)
    assert main(["--json", "--set", "seed=3", "show", str(file)]) == DONE
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert first == before == after


@pytest.mark.parametrize("words", ["--help", "list", "show --help", "train --help"])
def test_help_and_list_import_nothing_that_is_slow(words):
    code = (
        "import sys; from ray_jobs.cli import main\n"
        f"try: main({words.split()})\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'wandb', 'numpy', 'pydantic', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.stderr == "[]\n" and ended.stdout


WORKLOAD = """
from tests.toy_workload.config import ToyConfig
from trainables.workloads import Workload
class Mine(ToyConfig):
    name: str = "mine:MINE"
MINE = Workload(Mine, "tests.toy_workload.pipeline:ToyPipeline", "tests.toy_workload.task:ToyTask")
"""


def test_a_script_finds_a_workload_in_the_working_folder(tmp_path):
    """As `python -m` does; the folder of a console script is that of the script."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/quintet").write_text("from ray_jobs.cli import main\nraise SystemExit(main())\n")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/mine.py").write_text(WORKLOAD)
    (tmp_path / "work/mine.yaml").write_text("workload: {name: 'mine:MINE'}\ntraining: {epochs: 1}\n")
    command = [sys.executable, "../bin/quintet", "show", "mine.yaml", "--set", f"storage.path={tmp_path}"]
    ended = subprocess.run(
        command, cwd=tmp_path / "work", env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == DONE, ended.stderr
    assert "made-up points" in ended.stdout
