"""No damage to a file of any kind gives a traceback, a flood, a hang, or other rows without a word."""

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.check import check
from tests.fuzz.mutations import apply_changes, changes
from tests.fuzz.samples import SAMPLES, Sample

READERS: dict[str, list[Sample]] = defaultdict(list)
for each in SAMPLES:
    READERS[each.reader].append(each)
PLAIN = settings(
    database=None,
    deadline=None,  # `check` has its own
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SHORT = settings(PLAIN, max_examples=25, derandomize=True)
LONG = settings(PLAIN, max_examples=1500, print_blob=True)


def _fuzz(sample: Sample, folder: Path, profile: settings) -> None:
    path = folder / sample.name
    path.parent.mkdir(parents=True, exist_ok=True)
    sample.make(path)
    original, expected = path.read_bytes(), sample.read(path)

    @profile
    @given(changes())
    def run(drawn: list[tuple[str, int, int, bytes]]) -> None:
        check(sample, path, apply_changes(original, drawn), expected)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused_by_name(reader: str, tmp_path: Path) -> None:
    for number, sample in enumerate(READERS[reader]):
        _fuzz(sample, tmp_path / str(number), SHORT)


@pytest.mark.faults
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_many_damages_of_each_kind_of_file(sample: Sample, tmp_path: Path) -> None:
    _fuzz(sample, tmp_path, LONG)
