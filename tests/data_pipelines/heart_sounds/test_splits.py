"""Nobody is on two sides, and every side has its share of every stratum."""

import pytest

from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.heart_sounds.splits import choose_few, split_fold, split_subjects

RATIOS = {"train": 0.7, "val": 0.15, "test": 0.15}
STRATA = {f"s{number:03d}": "abc"[(number % 10) // 4] for number in range(200)}


@pytest.mark.parametrize("seed", range(5))
def test_splits_are_disjoint_by_subject_and_stratified(seed):
    found = split_subjects(STRATA, RATIOS, seed)  # pyright: ignore
    assert sorted(name for names in found.values() for name in names) == sorted(STRATA)
    for split, ratio in RATIOS.items():
        assert abs(len(found[split]) - 200 * ratio) <= 1  # pyright: ignore
        for stratum in "abc":
            members = [name for name, each in STRATA.items() if each == stratum]
            assert abs(len(set(found[split]) & set(members)) - ratio * len(members)) <= 2  # pyright: ignore


def test_the_split_follows_from_the_seed_and_not_from_the_order():
    assert split_subjects(STRATA, RATIOS, 1) == split_subjects(dict(reversed(STRATA.items())), RATIOS, 1)  # pyright: ignore
    assert split_subjects(STRATA, RATIOS, 1) != split_subjects(STRATA, RATIOS, 2)  # pyright: ignore


@pytest.mark.parametrize("seed", range(5))
def test_test_subjects_do_not_depend_on_the_validation_ratio(seed):
    found = [
        split_subjects(STRATA, {"train": 0.85 - val_ratio, "val": val_ratio, "test": 0.15}, seed)["test"]
        for val_ratio in (0, 0.1, 0.15, 0.4)
    ]
    assert len(found[0]) == 30 and all(each == found[0] for each in found)


def test_each_subject_is_tested_in_one_fold_and_strata_are_even():
    recordings = [
        Recording(name, name, "circor", {}, stratum, read=lambda: None)  # pyright: ignore
        for name, stratum in STRATA.items()
    ]
    folds = [split_fold(recordings, {"train": 0.8, "val": 0.2}, fold=fold, num_folds=5, seed=3) for fold in range(1, 6)]
    assert sorted(name for found in folds for name in found["test"]) == sorted(STRATA)
    for found in folds:
        assert sorted(name for names in found.values() for name in names) == sorted(STRATA)
        assert [len(found[split]) for split in ("train", "val", "test")] == [128, 32, 40]
        for stratum in "abc":
            members = {name for name, each in STRATA.items() if each == stratum}
            assert abs(len(members & set(found["test"])) - len(members) / 5) <= 1


def test_few_shot_subsets_are_nested_and_stratified_by_subject():
    subjects = sorted(STRATA)
    few, more = (choose_few(subjects, STRATA, ratio, seed=3) for ratio in (0.1, 0.4))
    assert set(few) < set(more) < set(subjects)
    for stratum in "abc":
        members = [name for name in subjects if STRATA[name] == stratum]
        assert len(set(few) & set(members)) == max(round(0.1 * len(members)), 1)
    assert choose_few(subjects, STRATA, 1.0, seed=3) == subjects
    assert {STRATA[name] for name in choose_few(subjects, STRATA, 0.001, seed=0)} == set("abc")
