"""The documentation: its commands can be given, what it names is there, and it names all there is."""

import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ray_jobs import cli
from ray_jobs.arguments import VerbParser, load_target
from ray_jobs.commands.submit import read_command
from ray_jobs.exit_codes import DONE
from ray_jobs.settings.builtin_experiments import is_experiment
from ray_jobs.settings.experiment import check_experiment
from trainables.workloads import WORKLOADS, config_class, predictor_class

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples/diabetes"
LISTING = ROOT / "docs/files.md"
PAGES = [page for page in (*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))) if page != LISTING]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
DEMOS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("ray_jobs/experiments/demo/*.yaml"))
PACKAGES = ("ray_jobs", "trainables", "data_pipelines")
PLACEHOLDERS = {
    "VERB": "train",
    "EXPERIMENT": "demo/flow_matching",
    "EXPERIMENT.yaml": DEMOS[0],
    "section.field=value": "seed=1",
}
"""What stands for something else in the grammar of a command."""
NOT_OURS = ("out", "runs", "wandb", "build", "downloads")
"""Folders at the top that runs and tools leave."""


def blocks_of(text: str) -> list[str]:
    """What stands between two lines of ```."""
    return re.findall(r"(?ms)^```\w*\n(.*?)^```$", text)


def prose_of(text: str) -> str:
    return re.sub(r"(?ms)^```\w*\n.*?^```$", "", text)


def spans_of(text: str) -> list[str]:
    """What stands in backticks, on one line or two."""
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", prose_of(text))]


def commands_of(text: str) -> Iterator[str]:
    """All that follows `python -m ray_jobs`, or `quintet` at the start of a line or of words in backticks."""
    lines = [line for block in blocks_of(text) for line in block.replace("\\\n", " ").splitlines()]
    for line in [*lines, *spans_of(text)]:
        found = re.search(r"(?:^\s*(?:\S+/)?quintet|python -m ray_jobs) (.+)", line)
        if found and "#" not in line[: found.start(1)]:
            yield found[1].strip()


COMMANDS = [(page, words) for page, text in TEXTS.items() for words in commands_of(text)]


def check_command(words: Sequence[str]) -> None:
    """Raise ValueError or AssertionError when the command line would refuse the words, in the project's folder."""
    if words[0] in ("predict", "app"):
        check_prediction(words)
        return
    try:
        options = cli.parse(words)
    except SystemExit as ending:
        assert ending.code == DONE and "--help" in words
        return
    if options.verb == "submit":
        command = read_command(options)
        if command:
            cli.check_words(command)
        return
    given = vars(options).get("experiment")
    if given is None or (options.verb == "sync" and not is_experiment(given)):
        assert options.verb in ("sync", "check", "clean", "list", "report") or (
            options.verb == "export" and options.out
        )
        return
    experiment = load_target(options, check_experiment)
    assert options.verb != "sweep" or experiment.search is not None


def check_prediction(words: Sequence[str]) -> None:
    """As far as it goes without the model: its own options are those of one workload."""
    verb = words[0]
    parser = VerbParser(prog=f"quintet {verb}", allow_abbrev=False)
    cli.VERBS[verb].add_arguments(parser)
    try:
        options, rest = parser.parse_known_args(words[1:])
    except SystemExit as ending:
        assert ending.code == DONE and "--help" in words
        return
    given = {word for word in rest if word.startswith("--")}
    predictors = [predictor_class(name) for name, workload in WORKLOADS.items() if workload.predictor]
    fields = [predictor.options_class.model_fields for predictor in predictors]
    assert (verb == "app" or options.out) and any(
        given <= {f"--{name.replace('_', '-')}" for name in each} for each in fields
    )


def test_there_are_commands_on_most_pages():
    assert len(COMMANDS) > 60 and len({page for page, _ in COMMANDS}) > 18


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{page}: {line}" for page, line in COMMANDS])
def test_every_command_can_be_given(page, line, monkeypatch):
    monkeypatch.chdir(EXAMPLE if page.endswith("adding_a_workload.md") else ROOT)
    monkeypatch.syspath_prepend(EXAMPLE)
    is_grammar = any(name in line for name in PLACEHOLDERS)
    plain = re.sub(r"[\[\]]|\.\.\.", " ", line.replace("--set ...", "--set seed=1")) if is_grammar else line
    words = shlex.split(plain, comments=True)
    check_command([PLACEHOLDERS.get(word, word) for word in words])


@pytest.mark.parametrize(
    "line",
    ["trian x.yaml", f"train {DEMOS[0]} --sett seed=1", f"train {DEMOS[0]} --set training.epoch=1", "train x.yaml"],
)
def test_a_wrong_command_would_be_found(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises((AssertionError, ValueError, SystemExit)):
        check_command(line.split())


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_example_of_a_verb_can_be_given(verb):
    program, *words = shlex.split(cli.VERBS[verb].EXAMPLE)
    assert program == "quintet" and words[0] == verb
    check_command(words)


def test_the_example_is_shown_as_it_is():
    page = TEXTS["docs/adding_a_workload.md"]
    shown = {block.strip() for block in re.findall(r"(?ms)^```(?:python|yaml|toml)\n(.*?)^```$", page)}
    files = [file for file in EXAMPLE.rglob("*") if file.suffix in (".py", ".yaml", ".toml")]
    assert shown == {file.read_text().strip() for file in files if "build" not in file.parts} and len(shown) == 7


def test_every_experiment_that_is_written_out_is_a_good_one(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE)
    shutil.copy(EXAMPLE / "diabetes.yaml", tmp_path)
    texts = [block for text in TEXTS.values() for block in re.findall(r"(?ms)^```yaml\n(.*?)^```$", text)]
    for text in texts:
        file = tmp_path / "experiment.yaml"
        file.write_text(text.replace("extends: ../", f"extends: {ROOT}/ray_jobs/experiments/"))
        check_experiment(file)
    assert len(texts) > 1


@pytest.mark.parametrize(
    "words", [["--help"], ["check"], ["list"], *(["show", demo] for demo in DEMOS)], ids=lambda words: " ".join(words)
)
def test_what_needs_no_data_really_runs(words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ray_jobs.tracking.wandb_environment.check_wandb", lambda tracking: {})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    try:
        assert cli.main(words) == DONE
    except SystemExit as ending:  # argparse after its help
        assert ending.code == DONE
    assert len(capsys.readouterr().out.splitlines()) > 5


def test_the_verbs_of_the_pages_are_those_of_the_command_line():
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", TEXTS["docs/commands.md"])) == set(cli.VERBS)
    listed = TEXTS["README.md"].partition("verbs are ")[2].partition(";")[0]
    assert set(re.findall(r"`(\w+)`", listed)) == set(cli.VERBS)


def test_the_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 150


SHARED_PAGES = {"heart_sound_pretrain": "heart_sound", "heart_sound_finetune": "heart_sound"}


@pytest.mark.parametrize("page", sorted({SHARED_PAGES.get(name, name) for name in WORKLOADS.keys() - {"toy"}}))
def test_a_page_tells_the_options_of_its_workloads_evaluation(page):
    told = re.findall(r"(?s)`evaluate` takes .*?\n\n", TEXTS[f"docs/workloads/{page}.md"])
    options = set(re.findall(r"`--([a-z0-9-]+)", " ".join(told))) | set(re.findall(r" --([a-z-]+) ", " ".join(told)))
    names = [name for name in WORKLOADS if SHARED_PAGES.get(name, name) == page]
    assert options == {option for name in names for option in config_class(name).evaluation_options}


def test_every_target_of_make_that_is_named_is_there():
    named = {
        target
        for text in TEXTS.values()
        for code in [*blocks_of(text), *spans_of(text)]
        for target in re.findall(r"(?m)^make ([a-z]+)", code)
    }
    assert named and named <= set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_to_something(page):
    links = re.findall(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"", TEXTS[page])
    for link in filter(None, (link or image for link, image in links)):
        if not re.match(r"https?://", link):
            assert (ROOT / page).parent.joinpath(link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("page", TEXTS)
def test_every_file_of_the_project_that_is_named_is_there(page):
    files = [path.relative_to(ROOT).as_posix() for path in listed_files()]
    for span in spans_of(TEXTS[page]):
        if not re.fullmatch(r"[\w./*-]+", span):
            continue
        is_ours = span.split("/")[0] in (*PACKAGES, "tests", "benchmarks", "docs") and "/" in span
        if is_ours or span.endswith((".py", ".md")):
            assert any(fnmatch(f"/{file}", f"*/{span.rstrip('/')}*") for file in files), span


def test_every_experiment_is_named():
    text = "\n".join(TEXTS.values())
    for file in (ROOT / "ray_jobs/experiments").rglob("*.yaml"):
        assert file.relative_to(ROOT / "ray_jobs/experiments").as_posix() in text, file


def test_the_pictures_are_small():
    assert all(picture.stat().st_size < 150_000 for picture in (ROOT / "docs").rglob("*.png"))


def test_words_of_refusals_are_those_of_the_code():
    """Of each refusal that a page of data quotes, some three words stand together in the code."""
    code = " ".join(path.read_text() for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    code = re.sub(r"\s+", " ", re.sub(r'"\s*f?"', "", code).replace("`", ""))
    quoted = 0
    for page, text in TEXTS.items():
        for table in re.findall(r"(?m)^\| (?:refused with the )?words \|.*\n\| ---.*\n((?:\|.*\n)+)", text):
            for row in table.splitlines():
                words = row.split("|")[1].replace("`", "").split()
                runs = (" ".join(words[start : start + 3]) for start in range(len(words) - 2))
                assert any(run in code for run in runs), (page, row)
                quoted += 1
    assert quoted > 40


def listed_files() -> list[Path]:
    """Files of the project, without what runs and tools leave."""
    found: list[Path] = []
    for top in ROOT.iterdir():
        if top.name not in NOT_OURS and not is_hidden(top.name):
            found += [top] if top.is_file() else [path for path in top.rglob("*") if path.is_file()]
    return [path for path in found if not any(is_hidden(part) for part in path.relative_to(ROOT).parts)]


def is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith(".egg-info")
