import numpy as np
import pytest
import torch

from tests.trainables.workloads.flow_matching.conftest import Ranks, run_ranks, solo, start_of, tiny_rows
from trainables.metrics.generative.frechet import Gaussian, compute_frechet_distance
from trainables.metrics.generative.precision_recall import compute_precision_recall
from trainables.workloads.flow_matching.reference import real_features
from trainables.workloads.flow_matching.reference.real_features import RealFeatures, measure_real_features
from trainables.workloads.flow_matching.reference.reservoir import hash_content
from trainables.workloads.flow_matching.reference.scoring import Extractor


def forward(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = images.flatten(1).float() / 255
    return flat[:, :3], flat


EXTRACTOR = Extractor("local", feature_dim=3, num_classes=16, forward=forward)


def measure(collectives: Ranks) -> RealFeatures:
    return measure_real_features(EXTRACTOR, start_of(collectives))


def gaussian_of(rows: np.ndarray) -> Gaussian:
    return Gaussian(torch.from_numpy(rows.mean(0)), torch.from_numpy(np.cov(rows.T)))


def test_the_halves_are_scored_as_two_sets_of_images():
    images, labels = tiny_rows()
    rows, hashes = forward(images)[0].numpy().astype(np.float64), hash_content(images, labels).tolist()
    order = sorted(range(48), key=lambda place: hashes[place])
    halves: list[list[int]] = [[], []]
    turn = {label: label % 2 for label in range(3)}
    for place in order:
        label = int(labels[place])
        halves[turn[label]].append(place)
        turn[label] = 1 - turn[label]
    assert [[int((labels[half] == label).sum()) for label in range(3)] for half in halves] == [[12, 6, 6]] * 2
    found = measure(solo())
    expected = compute_frechet_distance(*(gaussian_of(rows[half]) for half in halves))
    assert found.halves.fid == pytest.approx(expected, rel=1e-8)
    count = min(map(len, halves))
    shares = compute_precision_recall(*(torch.from_numpy(rows[half[:count]]) for half in halves))
    assert (found.halves.precision, found.halves.recall) == (shares.precision, shares.recall)


def test_the_kept_rows_are_those_of_the_smallest_hashes(monkeypatch):
    monkeypatch.setattr(real_features, "MAX_ROWS", 30)
    images, labels = tiny_rows()
    order = hash_content(images, labels).argsort()[:30]
    assert torch.equal(measure(solo()).rows, forward(images)[0][order])


def test_ranks_find_the_same_features():
    expected = measure(solo())
    for found in run_ranks(3, measure):
        assert torch.equal(found.rows, expected.rows)
        assert found.halves.fid == pytest.approx(expected.halves.fid, rel=1e-9)
        assert found.halves.recall == expected.halves.recall
