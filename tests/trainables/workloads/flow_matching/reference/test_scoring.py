import numpy as np
import pytest
import torch

from tests.trainables.workloads.flow_matching.conftest import CPU, Ranks, run_ranks, solo
from trainables.metrics.generative.frechet import Gaussian, compute_frechet_distance
from trainables.metrics.generative.inception_score import compute_inception_score
from trainables.workloads.flow_matching.reference.scoring import Extractor, Scorer, Scores, deal_chunks


def forward(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = images.flatten(1).float() / 255
    return flat[:, :2], 8 * flat


EXTRACTOR = Extractor("local", feature_dim=2, num_classes=4, forward=forward)
REAL = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
IMAGES = torch.randint(0, 256, (23, 1, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def score(collectives: Ranks) -> Scores:
    scorer = Scorer(EXTRACTOR, collectives, CPU)
    for chunk in deal_chunks(23, 5, collectives):
        scorer.add(IMAGES[chunk.start : chunk.stop], chunk)
    return scorer.compute(REAL)


def test_scores_equal_those_of_all_images_together():
    features, logits = forward(IMAGES)
    covariance = torch.from_numpy(np.cov(features.double().numpy().T))
    expected = compute_frechet_distance(Gaussian(features.double().mean(0), covariance), REAL)
    scores = score(solo())
    assert scores.fid == pytest.approx(expected, rel=1e-9)
    inception = compute_inception_score(logits, 10)
    assert (scores.inception_score_mean, scores.inception_score_std) == (inception.mean, inception.std)


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_scores_do_not_depend_on_the_number_of_ranks(world_size: int):
    expected = score(solo())
    for scores in run_ranks(world_size, score):
        assert scores.fid == pytest.approx(expected.fid, rel=1e-12)
        assert scores.inception_score_mean == expected.inception_score_mean
        assert scores.inception_score_std == expected.inception_score_std


def test_ranks_share_the_chunks_and_the_last_is_shorter():
    shares = run_ranks(2, lambda collectives: list(deal_chunks(12, 5, collectives)))
    assert shares == [[range(5), range(10, 12)], [range(5, 10)]]
