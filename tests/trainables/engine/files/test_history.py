"""The rows that every checkpoint carries: bit for bit, and readable with zcat."""

import gzip
import json
import random
import struct

import pytest

from trainables.engine.files.history import History, Row, read_lines, read_until, to_lines


def odd_floats() -> list[float]:
    generator = random.Random(0)
    anything = (struct.unpack("<d", generator.randbytes(8))[0] for _ in range(2000))
    finite = [value for value in anything if value - value == 0.0]
    return [0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1 / 3, 1e22, 123456789.123456789, *finite]


def test_floats_are_read_back_bit_for_bit():
    rows = [{"step": step, "x": value} for step, value in enumerate(odd_floats())]
    history = History()
    history.append(rows)
    read = list(History(history.content).rows())
    assert [struct.pack("<d", row["x"]) for row in read] == [struct.pack("<d", row["x"]) for row in rows]
    assert [row["step"] for row in read] == list(range(len(rows)))


def test_rows_are_appended_in_order_also_across_a_resume():
    history = History()
    expected: list[Row] = []
    for start in range(0, 50, 7):
        rows: list[Row] = [{"step": step} for step in range(start, start + 7)]
        history.append(rows)
        expected += rows
        history = History(history.content)
        assert list(history.rows()) == expected


def test_old_rows_are_not_compressed_again():
    history = History()
    history.append([{"step": 1}])
    before = history.content
    history.append([{"step": 2}])
    assert history.content.startswith(before) and len(history.content) > len(before)


def test_the_history_is_reproducible_gzip_of_json_lines(monkeypatch):
    contents = []
    for now in (1.0, 2e9):
        monkeypatch.setattr("time.time", lambda now=now: now)
        history = History()
        for step in (1, 2):
            history.append([{"step": step, "x": 0.5}])
        contents.append(history.content)
    assert contents[0] == contents[1]
    lines = gzip.decompress(contents[0]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "x": 0.5}, {"step": 2, "x": 0.5}]


def test_no_rows_are_no_content():
    history = History()
    history.append([])
    assert history.content == b"" and list(history.rows()) == []


def test_integers_stay_integers():
    [row] = map(json.loads, to_lines([{"step": 3, "x": 3.0}]).splitlines())
    assert type(row["step"]) is int and type(row["x"]) is float


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_json_does_not_know_is_refused(value):
    with pytest.raises(ValueError):
        to_lines([{"x": value}])


@pytest.mark.parametrize("steps", [[], [3], [1, 2, 3, 4, 7, 8, 20], list(range(5, 900, 3))])
def test_rows_until_a_step_are_those_of_a_scan(steps):
    history = History()
    for step in steps:
        history.append([{"step": step, "epoch": 1, "train/loss": 1 / (step % 11 + 3)}])
    for until in {0, 4, 7, 8, 500, 1000, *steps[:3], *steps[-2:]}:
        scanned = b"".join(line for line in read_lines(history.content) if json.loads(line)["step"] <= until)
        assert read_until(history.content, until) == scanned
