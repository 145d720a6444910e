"""Options as fields: which component each type gets, and which words are read from them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from pydantic import Field

from data_pipelines.contract.config import FilePath
from ray_jobs.app.page import OptionFields
from trainables.contract.predictor import PredictionOptions


class Options(PredictionOptions):
    """One of each kind."""

    table: FilePath | None = None
    """A table."""
    is_fast: bool = False
    """Whether it is fast."""
    solver: Literal["euler", "heun"] = "euler"
    method: Literal["ddim", "ddpm"] | None = None
    scale: int | None = None
    quality: float = Field(default=0.5, ge=0)
    classes: tuple[str, ...] = ("cat", "dog")


def record(kind: str) -> Any:
    return lambda *values, **settings: SimpleNamespace(kind=kind, values=values, **settings)


GRADIO = SimpleNamespace(**{kind: record(kind) for kind in ("Checkbox", "Dropdown", "File", "Markdown", "Textbox")})
BEGUN = [None, False, "euler", "", "", "0.5", "cat, dog"]


def build(**given: Any) -> OptionFields:
    words = {name: str(value).lower() for name, value in given.items()}
    return OptionFields(GRADIO, Options(**given), words)


def test_each_type_has_its_component():
    table, is_fast, solver, method, scale, quality, classes = build().components
    assert [each.kind for each in (table, is_fast, solver, method)] == ["File", "Checkbox", "Dropdown", "Dropdown"]
    assert {each.kind for each in (scale, quality, classes)} == {"Textbox"}
    assert is_fast.info == "Whether it is fast." and is_fast.label == "is fast"
    assert solver.values == (["euler", "heun"],) and method.values == ([("default", ""), "ddim", "ddpm"],)
    assert [each.values for each in (is_fast, scale, quality, classes)] == [(False,), ("",), ("0.5",), ("cat, dog",)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, {}),
        ({1: True, 3: "ddpm"}, {"is_fast": "true", "method": "ddpm"}),
        ({4: "3", 5: "", 6: "cat"}, {"scale": "3", "classes": "cat"}),
        ({0: "/tmp/a.csv"}, {"table": "/tmp/a.csv"}),
    ],
)
def test_fields_left_as_they_were_are_not_given(changes, words):
    assert build().read([changes.get(place, value) for place, value in enumerate(BEGUN)]) == words


def test_a_given_option_holds_until_it_is_changed():
    fields = build(is_fast=True, scale=3, table=Path("/tmp/a.csv"))
    begun = [None, True, "euler", "", "3", "0.5", "cat, dog"]
    given = {"is_fast": "true", "scale": "3", "table": "/tmp/a.csv"}
    assert fields.read(begun) == given
    assert fields.read([None, False, "euler", "", "", "0.5", "cat, dog"]) == {
        "is_fast": "false",
        "table": "/tmp/a.csv",
    }
    assert fields.read(["/tmp/b.csv", *begun[1:]]) == given | {"table": "/tmp/b.csv"}
