"""One dimension of a search space."""

import math

import numpy as np
import pytest
from pydantic import ValidationError

from ray_jobs.settings.search_dimension import Dimension


def dimension(value) -> Dimension:
    return Dimension.model_validate(value)


def draws(value, count=400):
    random = np.random.default_rng(0)
    return [dimension(value).draw(random) for _ in range(count)]


def test_a_list_is_a_choice_and_every_value_comes():
    assert dimension([1, "a", None]).choice == (1, "a", None)
    assert set(draws([1, "a", None])) == {1, "a", None}


def test_ranges_are_kept_and_filled():
    uniform, integers = draws({"uniform": [2.0, 4.0]}), draws({"integer": [2, 9], "step": 3})
    assert 2 <= min(uniform) < 2.1 and 3.9 < max(uniform) <= 4
    assert set(integers) == {2, 5, 8} and all(isinstance(value, int) for value in integers)


def test_logarithms_are_even():
    values = draws({"loguniform": [1e-4, 1e-2]})
    assert min(values) >= 1e-4 and max(values) <= 1e-2
    assert abs(np.mean([math.log10(value) for value in values]) + 3) < 0.1
    whole = draws({"loginteger": [1, 100]})
    assert set(map(type, whole)) == {int} and min(whole) >= 1 and max(whole) <= 100 and np.median(whole) < 20


def test_a_value_of_another():
    assert dimension({"of": "a", "times": 2}).derive("b", 3) == 6
    mapped = dimension({"of": "a", "map": {"8": "small", "16": "large"}})
    assert mapped.derive("b", 16) == "large"
    with pytest.raises(ValueError, match=r"b: `map` has no entry for a = 32; it has 8, 16"):
        mapped.derive("b", 32)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "give one of choice, uniform"),
        ({"uniform": [0.0, 1.0], "choice": [1]}, "given: choice, uniform"),
        ({"uniform": [1.0, 0.0]}, "first must be below"),
        ({"loguniform": [0.0, 1.0]}, "must be above 0"),
        ({"of": "a"}, "exactly one of `times` and `map`"),
        ({"choice": [1], "times": 2.0}, "only for `of`"),
        ({"uniform": [0.0, 1.0], "step": 2}, "only for `integer`"),
        (3, "no dimension; write a list"),
        ([], "at least 1 item"),
    ],
)
def test_what_is_refused(value, words):
    with pytest.raises(ValidationError, match=words):
        dimension(value)
