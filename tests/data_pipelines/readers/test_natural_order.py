"""Natural order: numbers by value, after letters, and case only between equals."""

import random
import re

from data_pipelines.readers.natural_order import text_key


def naive_key(text: str) -> tuple[list[tuple[int, str]], str]:
    """The parts of a name, each with its value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", text)
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts], text


def test_names_are_in_the_order_of_their_parts():
    drawn = random.Random(0)
    names = ["".join(drawn.choices("0019aAbB_. -é\U00010000", k=drawn.randint(0, 7))) for _ in range(4000)]
    assert sorted(names, key=text_key) == sorted(names, key=naive_key)


def test_numbers_of_any_length_are_compared_by_value():
    names = ["image2", "image10", "image" + "9" * 5000, "image1" + "0" * 5000]
    assert sorted(names[::-1], key=text_key) == names
