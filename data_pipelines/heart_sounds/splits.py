"""Splits by subject: no subject is in two splits, and every split has about the same share of every stratum."""

from collections.abc import Mapping, Sequence, Set

import numpy as np

from data_pipelines.contract.pipeline import Split
from data_pipelines.heart_sounds.recordings import Recording


def stratum_of_subjects(recordings: Sequence[Recording]) -> dict[str, str]:
    """Return each subject's stratum; the rarest among its recordings, so that rare ones are spread first."""
    strata: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for recording in recordings:
        strata.setdefault(recording.subject, set()).add(recording.stratum)
        counts[recording.stratum] = counts.get(recording.stratum, 0) + 1
    return {subject: min(sorted(names), key=lambda name: counts[name]) for subject, names in strata.items()}


def split_subjects(strata: Mapping[str, str], ratios: Mapping[Split, float], seed: int) -> dict[Split, list[str]]:
    """Return the subjects of each split, sorted.

    The last split is drawn first and the first is the remainder, so the test subjects do not depend on how the others
    are divided. Sizes are right to one subject, and to two within each stratum. `ratios` are the shares of the splits;
    they sum to 1.
    """
    found: dict[Split, list[str]] = {split: [] for split in ratios}
    rest, share = dict(strata), 1.0
    first, *others = ratios
    for split in reversed(others):
        found[split] = _draw(rest, ratios[split] / share, seed)
        drawn = set(found[split])
        rest = {subject: stratum for subject, stratum in rest.items() if subject not in drawn}
        share -= ratios[split]
    return {**found, first: sorted(rest)}


def split_each_database(
    recordings: Sequence[Recording], ratios: Mapping[Split, float], seed: int
) -> dict[Split, list[str]]:
    """Apply `split_subjects` to every database by itself, so that adding others moves no subject."""
    found: dict[Split, list[str]] = {split: [] for split in ratios}
    for database in sorted({recording.database for recording in recordings}):
        strata = stratum_of_subjects([each for each in recordings if each.database == database])
        for split, subjects in split_subjects(strata, ratios, seed).items():
            found[split] += subjects
    return {split: sorted(subjects) for split, subjects in found.items()}


def split_fold(
    recordings: Sequence[Recording], shares: Mapping[Split, float], *, fold: int, num_folds: int, seed: int
) -> dict[Split, list[str]]:
    """Return the subjects of a fold of each database as the test split, and the others by their shares.

    Every subject is in one fold; sizes differ by one subject, also within each stratum. `fold` counts from 1. `shares`
    are those of the other splits among the subjects that are not tested; they sum to 1.
    """
    tested: set[str] = set()
    for database in sorted({recording.database for recording in recordings}):
        strata = stratum_of_subjects([each for each in recordings if each.database == database])
        tested |= set(_shuffled(strata, seed)[fold - 1 :: num_folds])
    return split_others(recordings, tested, shares, seed)


def split_others(
    recordings: Sequence[Recording], tested: Set[str], shares: Mapping[Split, float], seed: int
) -> dict[Split, list[str]]:
    """Return the given subjects as the test split, and all others of each database by their shares."""
    rest = [recording for recording in recordings if recording.subject not in tested]
    return {**split_each_database(rest, shares, seed), "test": sorted(tested)}


def choose_few(subjects: Sequence[str], strata: Mapping[str, str], ratio: float, seed: int) -> list[str]:
    """Return a share of the subjects of every stratum, at least one of each; a larger share contains a smaller one."""
    if ratio == 1:
        return list(subjects)
    members: dict[str, list[str]] = {}
    for subject in _shuffled({subject: strata[subject] for subject in subjects}, seed):
        members.setdefault(strata[subject], []).append(subject)
    return sorted(subject for names in members.values() for subject in names[: max(round(ratio * len(names)), 1)])


def _draw(strata: Mapping[str, str], ratio: float, seed: int) -> list[str]:
    """Draw a share of the subjects, spread evenly over the strata, which are visited one after the other."""
    drawn: list[str] = []
    for done, subject in enumerate(_shuffled(strata, seed), start=1):
        if ratio * done > len(drawn) + 0.5:
            drawn.append(subject)
    return sorted(drawn)


def _shuffled(strata: Mapping[str, str], seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    order = []
    for stratum in sorted(set(strata.values())):
        names = sorted(subject for subject, name in strata.items() if name == stratum)
        order += [names[index] for index in generator.permutation(len(names))]
    return order
