"""The embedded digits: their values and their split."""

import numpy as np
from sklearn.datasets import load_digits

from data_pipelines.images.sources import DigitsSource


def test_values_are_spread_over_a_byte() -> None:
    images, _ = load_digits(return_X_y=True)
    parts = [part.images for split in ("train", "test") for part in DigitsSource().read(split, 0)]
    rows = {image.tobytes() for image in np.concatenate(parts)}
    expected = {bytes(int(value * 255 / 16 + 0.5) for value in image) for image in images}
    assert rows == expected


def test_every_fifth_image_of_a_digit_is_a_test_image() -> None:
    _, labels = load_digits(return_X_y=True)
    seen = dict.fromkeys(range(10), 0)
    expected: dict[str, list[int]] = {"train": [], "test": []}
    for label in labels.tolist():
        seen[label] += 1
        expected["test" if seen[label] % 5 == 0 else "train"].append(label)
    for split in ("train", "test"):
        (part,) = DigitsSource().read(split, 0)
        assert part.labels.tolist() == expected[split]
        assert DigitsSource().num_rows()[split] == len(expected[split])
    assert sum(DigitsSource().num_rows().values()) == 1797


def test_reading_can_start_at_any_row() -> None:
    (whole,) = DigitsSource().read("test", 0)
    (rest,) = DigitsSource().read("test", 100)
    np.testing.assert_array_equal(rest.images, whole.images[100:])
