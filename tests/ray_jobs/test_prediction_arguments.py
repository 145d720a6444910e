"""Words of a workload's options become values: names letter by letter, numbers as numbers."""

from types import SimpleNamespace
from typing import Any

import pytest

from ray_jobs.prediction_arguments import read_words


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("01, 2,10", ("01", 2, 10)),
        ("1e3,null,no", ("1e3", "null", "no")),
        ("a #b", ("a #b",)),
        ("0", (0,)),
        ("['01', 2]", ("01", 2)),
        ("'a, b'", ("a, b",)),
    ],
)
def test_names_in_a_list_are_taken_letter_by_letter(text: str, classes: tuple[Any, ...]) -> None:
    model: Any = SimpleNamespace(workload=SimpleNamespace(name="flow_matching"))
    assert read_words(model, {"classes": text, "num_per_class": "3"}).model_dump()["classes"] == classes
