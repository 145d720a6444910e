"""The scripts and notebooks of examples/prediction run with a tiny model, and show what they promise."""

import ast
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.saved_models import save_tiny
from trainables.workloads import WORKLOADS

FOLDER = Path(__file__).resolve().parents[1] / "examples/prediction"
WORKLOAD_OF = {
    name: "heart_sound_finetune" if name == "heart_sound" else name
    for name in sorted(file.stem for file in FOLDER.glob("*.py"))
}
RUN = [pytest.param(name, marks=[pytest.mark.slow] if name == "flow_matching" else []) for name in WORKLOAD_OF]
"""Likelihoods take seconds."""
PRINTED = {
    "flow_matching": ["samples of each of 0, 1, 2", "a digit takes 8.", "bits per dimension, noise 8."],
    "heart_sound": ["recording with a murmur: ", "heart cycles, 7", "noise: no verdict, noise: the cycles found"],
    "pruning": ["a 8: ", "of 20 are right"],
    "super_resolution": ["china_x2.png: bicubic on the left", "flower_x2.png"],
    "video_prediction": ["2 last frames of a synthetic clip, then 3 predicted ones"],
}
OUT = {"flow_matching": "samples.png", "super_resolution": "enlarged", "video_prediction": "future.gif"}
"""Where a script writes its result."""
SIZES = {
    "flow_matching": {"samples.png": (4 * 8 * 8, 4 * 8 * 10)},
    "super_resolution": {"enlarged/china_x2.png": (2 * 192, 192), "enlarged/flower_x2.png": (2 * 192, 192)},
    "video_prediction": {"future.gif": (256, 256)},
}
"""Sizes of the pictures that it writes there."""


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """Folder of a tiny model of the workload of an example."""
    folders: dict[str, str] = {}

    def save(name: str) -> str:
        if name not in folders:
            folders[name] = save_tiny(tmp_path_factory.mktemp(name), WORKLOAD_OF[name])
        return folders[name]

    return save


def test_each_workload_that_predicts_has_a_script_and_a_notebook():
    assert set(WORKLOAD_OF.values()) == {name for name, workload in WORKLOADS.items() if workload.predictor}
    assert [file.stem for file in sorted(FOLDER.glob("*.ipynb"))] == list(WORKLOAD_OF)


@pytest.mark.parametrize("name", RUN)
def test_a_script_does_what_it_says(name, model_folder, tmp_path, capsys):
    main = runpy.run_path(str(FOLDER / f"{name}.py"))["main"]
    main(model_folder(name), *([str(tmp_path / OUT[name])] if name in OUT else []))
    printed = capsys.readouterr().out
    assert [words for words in PRINTED[name] if words not in printed] == []
    for file, size in SIZES.get(name, {}).items():
        with Image.open(tmp_path / file) as picture:
            assert picture.size == size


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as Jupyter does; returns the value of its last line, which would be shown."""
    tree = ast.parse(source)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        return exec(compile(tree, "cell", "exec"), names)
    exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.mark.parametrize("name", RUN)
def test_a_notebook_runs_and_ends_with_a_figure(name, model_folder):
    book = json.loads((FOLDER / f"{name}.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    assert sum('load_model("MODEL")' in cell for cell in cells) == 1
    names: dict[str, Any] = {}
    shown = [run_cell(cell.replace('"MODEL"', repr(model_folder(name))), names) for cell in cells]
    assert isinstance(shown[-1], Image.Image) and len(set(shown[-1].convert("L").tobytes())) > 2


@pytest.mark.parametrize("name", WORKLOAD_OF)
def test_a_notebook_is_stored_small_and_without_outputs(name):
    file = FOLDER / f"{name}.ipynb"
    book = json.loads(file.read_text())
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5) and file.stat().st_size < 8000
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    for cell in book["cells"]:
        assert cell["cell_type"] in ("markdown", "code") and cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
