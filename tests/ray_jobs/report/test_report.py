"""The whole page: complete in itself, safe, small, and made of any record."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.cli import BAD_INPUT, DONE, main
from ray_jobs.commands.evaluate import evaluate
from ray_jobs.report.report import find_folder, write_report
from ray_jobs.runs.training import train
from ray_jobs.search.leaderboard import save_leaderboard
from ray_jobs.search.trials import Trials
from ray_jobs.settings.strict_yaml import dump_yaml
from tests.ray_jobs.report.conftest import encode, make_event, make_row, write_picture
from tests.ray_jobs.search.conftest import RATE, search  # noqa: F401

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PLANTED = "<script>alert(1)</script>"
VOID = ("meta", "img", "input", "wbr")


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its order, ids are unique, nothing is fetched."""

    def __init__(self, file: str):
        super().__init__()
        self.content = Path(file).read_text()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""
        self.num_charts = 0
        self.count: dict[str, int] = {}
        self.feed(self.content)
        self.words = " ".join(self.words.split())
        assert not self.open and len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.count[tag] = self.count.get(tag, 0) + 1
        assert not [name for name in values if name.startswith("on")]
        if "src" in values:
            assert (values["src"] or "").startswith("data:")
            self.num_charts += (values["src"] or "").startswith("data:image/svg+xml;base64,")
        if "id" in values:
            self.ids.append(values["id"] or "")
        if "href" in values:
            self.links.append(values["href"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words += f" {data}"


def report(folder: Folder) -> Page:
    return Page(write_report(str(folder), None, "/nowhere"))


def test_a_trained_and_evaluated_run_is_all_on_its_page(toy):
    experiment = toy(tracking={"notes": "a try", "run_name": "mine"}, workload={"width": 4})
    final = train(experiment).final
    evaluate(experiment, None, {})
    page = report(experiment.folder)
    for words in ("mine", "finished", "a try", "test/mse", "workload.width", "made-up points", "eval/pictures", "001"):
        assert words in page.words, words
    best = final["best_metrics"]
    assert f"{best['test/mse']:.4g}" in page.words and f"{best['baseline/test/mse']:.4g}" in page.words
    assert {"results", "curves", "pictures", "tables", "evaluations", "settings", "lineage"} <= set(page.ids)
    assert page.num_charts > 5 and page.count["img"] > page.num_charts + 3 and "script" not in page.count
    assert "default-src 'none'; img-src data:;" in page.content and "script-src" not in page.content


def test_an_evaluation_stands_above_its_baseline(write_run):
    folder = write_run()
    metrics = {"Set5/psnr": 30.01, "Set5/num_images": 5, "baseline/Set5/psnr": 28.43}
    folder.write_json("evaluations/001/metrics.json", {"metrics": metrics, "checkpoint": "models/step_7"})
    folder.write_json("evaluations/002/metrics.json", {"metrics": {"Set5/psnr": 31.5}, "checkpoint": "models/step_9"})
    words = report(folder).words.split()
    start = words.index("001")
    assert words[start : start + 8] == ["001", "step_7", "5", "30.01", "baseline", "28.43", "002", "step_9"]


def test_a_run_that_has_just_begun_has_a_page(tmp_path):
    folder = Folder(str(tmp_path / "runs/new"))
    identity = {"name": "new", "wandb_id": "x", "started": "now", "tags": [], "group": None, "job_type": "train"}
    folder.write_json("run.json", identity)
    page = report(folder)
    assert "unfinished" in page.words and not page.num_charts


def test_a_run_killed_in_the_middle_of_a_line_has_a_page(write_run):
    folder = write_run()
    for name in ("metrics.jsonl", "events.jsonl"):
        folder.write(name, folder.read(name)[:-9])
    page = report(folder)
    assert "19 of 30 steps" in page.words and "unfinished" in page.words


def test_what_the_user_writes_never_becomes_markup(write_run):
    settings = {"workload": {"name": PLANTED, "key": PLANTED}, "tracking": {"notes": PLANTED}, PLANTED: 1}
    identity = {"name": PLANTED, "tags": [PLANTED], "group": PLANTED}
    folder = write_run(identity=identity, settings=settings, log=f"2026-11-21 13:20:50 ERROR {PLANTED}\n")
    write_picture(folder, "eval/a", 10, captions=[PLANTED])
    write_picture(folder, "eval/b", 10, captions=[PLANTED, '" onload="x'])
    folder.write("pictures/eval/t/table.csv", f'step,epoch,{PLANTED}\n10,1,"{PLANTED}"\n'.encode())
    folder.write_json("environment.json", {"command": PLANTED, "packages": {PLANTED: PLANTED}})
    folder.write_json(
        "inputs.json", [{"name": PLANTED, "type": PLANTED, "path": PLANTED, "metadata": {"source": PLANTED}}]
    )
    folder.write_json("evaluations/001/metrics.json", {"metrics": {PLANTED: 1.0}, "settings": {PLANTED: PLANTED}})
    page = report(folder)
    assert "script" not in page.count and "alert(1)" in page.words
    assert page.content.count(PLANTED) == 0


def test_the_page_stays_small_and_says_what_it_leaves_out(write_run):
    rows = [make_row(step, **{"train/noise": float(step % 97)}) for step in range(1, 20_001)]
    folder = write_run(rows=rows, events=[make_event(0, resumed_from=None), make_event(20_000)])
    content = encode(np.random.default_rng(0).integers(0, 256, (330, 330, 3), dtype=np.uint8))
    for key in ("a", "b", "c"):
        for step in range(1, 13):
            write_picture(folder, f"eval/{key}", step, content=content)
    page = report(folder)
    assert len(content) > 300_000 and 1_000_000 < len(page.content) < 10_000_000
    assert "8 of 12 steps" not in page.words and " of 12 steps; all in pictures/eval/a" in page.words
    shown = page.content.count("data:image/png")
    assert f"{36 - shown} pictures are left out" in page.words


def test_a_run_links_to_the_reports_of_its_group_and_inputs(write_run, tmp_path):
    write_report(str(write_run("first")), None, "")
    folder = write_run("second", identity={"group": "first"})
    metadata = {"run_id": "first", "run": "the first"}
    folder.write_json("inputs.json", [{"name": "n", "type": "input", "path": "p", "metadata": metadata}])
    assert report(folder).links.count("../../runs/first/report.html") == 2
    elsewhere = Page(write_report(str(folder), str(tmp_path / "new/page.html"), ""))
    assert elsewhere.links.count("../runs/first/report.html") == 2


def test_a_search_is_ranked_and_its_trials_are_linked(search, write_run):  # noqa: F811
    setup = search(space={RATE: [0.1, 0.2, 0.4], "workload.width": [4]}, tracking={"run_name": "s"})
    setup.folder.make()
    trials = Trials(setup.folder)
    for number, value in enumerate((2.0, 1.0, None)):
        [trial] = setup.expand(number, number, {RATE: 0.1 * 2**number, "workload.width": 4})
        reached = {} if value is None else {"objectives": (value,), "metrics": {"test/mse": value}, "epoch": 2}
        trials.put(trial.change(state="failed" if value is None else "finished", words=PLANTED, **reached))
        write_run(f"s-000{number}")
    save_leaderboard(setup, trials)
    setup.folder.write("search.yaml", dump_yaml(setup.experiment.model_dump(mode="json")).encode())
    setup.folder.write("learning_curves.png", encode(np.zeros((4, 4), np.uint8)))
    write_report(str(setup.runs / "s-0001"), None, "")
    page = report(setup.folder)
    assert page.words.index("s-0001") < page.words.index("s-0000") < page.words.index("s-0002")
    assert "finished 3 of 3 trials begun: 2 finished, 1 failed" in page.words and "workload.width" in page.words
    assert "../../runs/s-0001/report.html" in page.links
    assert page.content.count(PLANTED) == 0 and page.count["img"] == page.num_charts + 1
    setup.folder.write("trials.jsonl", b"".join(setup.folder.read("trials.jsonl").splitlines(True)[:2]))
    assert "unfinished 2 of 3 trials begun: 2 finished; the same command" in report(setup.folder).words
    assert Page(write_report("s", None, setup.experiment.storage.path)).words[:20] == page.words[:20]


def test_labels_are_ranked_apart_and_mutations_are_listed(search):  # noqa: F811
    setup = search(space={RATE: [0.1, 0.2]}, ranks_apart=[RATE], tracking={"run_name": "s"})
    setup.folder.make()
    trials = Trials(setup.folder)
    for number, label in enumerate(("low", "high")):
        [trial] = setup.expand(number, number, {RATE: 0.1})
        begun = trial.change(label=label, state="running", objectives=(2.0,), metrics={"test/mse": 2.0}, epoch=4)
        trials.put(begun)
        if label == "high":
            trials.put(begun.change(values={RATE: 0.2}))
    save_leaderboard(setup, trials)
    page = report(setup.folder)
    words = page.words.split()
    assert words.count("rank") == 2 and "low" in words and "high" in words
    [change] = [line for line in page.content.split("<tr") if "trial 1</td>" in line and RATE in line]
    assert re.findall(r">([^<>]+)</td>", change) == ["trial 1", "4", RATE, "0.1", "0.2"]
    assert page.words.count(RATE) and "trial 0" not in page.words.partition("Curves")[0].partition("Changes")[2]


def test_a_search_that_has_just_begun_has_a_page(tmp_path):
    (tmp_path / "searches/s").mkdir(parents=True)
    (tmp_path / "searches/s/trials.jsonl").write_text("")
    assert "0 of 0 trials begun" in report(Folder(str(tmp_path / "searches/s"))).words


def test_the_command_writes_reports_of_names_and_folders(write_run, tmp_path, capsys):
    first, second = write_run("first"), write_run("second", identity={"name": "for people"})
    assert main(["report", str(first), "for people", "--set", f"storage.path={tmp_path}"]) == DONE
    written = [f"{first}/report.html", f"{second}/report.html", f"{tmp_path}/comparison.html"]
    assert capsys.readouterr().out.split() == written
    out = tmp_path / "new" / "one.html"
    assert main(["report", str(first), "--out", str(out), "--json"]) == DONE
    assert Page(str(out)).count["main"] == 1 and capsys.readouterr().out.endswith(f'{{"reports": ["{out}"]}}\n')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "report needs a run or a search"),
        (["{tmp}"], "is neither a run (run.json) nor a search"),
        (["firts", "--set", "storage.path={tmp}"], "did you mean 'first'"),
        (["firts", "--set", "storage.path={tmp}/empty"], "there are none there"),
        (["first", "--set", "training.epochs=3"], "a report has no setting but storage.path"),
        (
            ["{tmp}/runs/first", "{tmp}/searches/s", "--out", "x.html"],
            "--out x.html is for one report or a",
        ),
        (["{tmp}/runs/first", "--aut", "x.html"], "unknown argument '--aut'"),
    ],
)
def test_what_is_no_run_is_refused(write_run, tmp_path, capsys, words, message):
    write_run("first")
    Folder(str(tmp_path / "searches/s")).write("trials.jsonl", b"")
    assert main(["report", *(word.format(tmp=tmp_path) for word in words)]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_a_name_is_that_of_the_storage_whatever_lies_here(write_run, tmp_path, monkeypatch):
    here = tmp_path / "elsewhere"
    write_run("first")
    shutil.copytree(tmp_path / "runs/first", here / "first")
    shutil.copytree(tmp_path / "runs/first", here / "other")
    monkeypatch.chdir(here)
    assert find_folder("first", str(tmp_path)).path == str(tmp_path / "runs/first")
    assert find_folder("./first", str(tmp_path)).path == str(here / "first")
    with pytest.raises(ValueError, match=r"'other' has the form of a name, and no run .* for what .* write \./other"):
        find_folder("other", str(tmp_path))
    with pytest.raises(ValueError, match="/nowhere/first does not exist"):
        find_folder("/nowhere/first", str(tmp_path))


def test_a_report_needs_neither_torch_nor_ray(write_run):
    folder = write_run()
    code = (
        "import sys; from ray_jobs.cli import main; "
        f"assert main(['report', {str(folder)!r}]) == 0; "
        "print(sorted({'torch', 'ray', 'wandb'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ended.stdout.splitlines() == [f"{folder}/report.html", "[]"], ended.stderr


def test_a_report_on_an_object_store_lies_beside_its_run(write_run, monkeypatch):
    folder = write_run()
    remote = Folder(str(folder))
    remote.is_local = False
    monkeypatch.setattr("ray_jobs.report.report.find_folder", lambda *_: remote)
    assert write_report("it", None, "") == f"{folder}/report.html"
    assert "as far as is stored" in Page(f"{folder}/report.html").words
