"""Options of drawing samples."""

import pytest

from trainables.workloads.flow_matching.prediction_options import choose_classes


@pytest.mark.parametrize(
    ("names", "given", "chosen"),
    [
        (["01", "02", "03"], ["01", 2, "0"], [0, 2]),
        (["1", "2", "3"], [1, "3"], [0, 2]),
        (["a", "1e3", "null", "no"], ["1e3", "null", "no", 0], [1, 2, 3, 0]),
    ],
)
def test_a_name_of_digits_is_a_name_before_it_is_a_number(names, given, chosen):
    assert choose_classes(names, given) == chosen
