"""docs/faults.md cites tests that exist, and has a row for every fault."""

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TABLE = (TESTS.parent / "docs/faults.md").read_text()
ROWS = [line.split("|")[1:-1] for line in TABLE.splitlines() if re.match(r"\| \d", line)]


def test_every_number_from_1_to_80_has_one_row():
    numbers: list[int] = []
    for number, *_ in ROWS:
        first, last = re.fullmatch(r"(\d+)(?:(?:, |-)(\d+))?", number.strip()).groups()  # pyright: ignore
        numbers += range(int(first), int(last or first) + 1)
    assert sorted(numbers) == list(range(1, 81))


def test_every_test_that_is_cited_is_there():
    files = {str(file.relative_to(TESTS)): file.read_text() for file in TESTS.rglob("test_*.py")}
    for row in ROWS:
        cited = re.findall(r"`([\w/]*test_\w+\.py)`", row[2])
        assert all(any(name.endswith(file) for name in files) for file in cited), row[2]
        sources = "\n".join(files.values())
        words = re.sub(r"`[^`]*`|\(\*?faults\*?\)|\*\*no test[^|]*", "", row[2])
        claims = re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", words)
        assert all(re.search(rf"def test_\w*{claim}", sources) for claim in claims), (claims, row[2])
