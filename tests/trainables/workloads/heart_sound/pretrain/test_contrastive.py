"""NT-Xent and the sub-structure loss against loops over the definition."""

import math

import pytest
import torch

from trainables.workloads.heart_sound.pretrain.contrastive import nt_xent, sub_structure_loss


def naive(first, second, temperature, subject=None) -> float:
    views = [row / row.norm() for row in [*first, *second]]
    half, total = len(first), 0.0
    for i, anchor in enumerate(views):
        partner = (i + half) % (2 * half)
        scores = []
        for j, other in enumerate(views):
            is_same = subject is not None and int(subject[i % half]) == int(subject[j % half])
            if j != i and (j == partner or not is_same):
                scores.append(math.exp(float(anchor @ other) / temperature))
        total -= math.log(math.exp(float(anchor @ views[partner]) / temperature) / sum(scores))
    return total / len(views)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(6, 5, generator=generator)
    return first, first + 0.5 * torch.randn(6, 5, generator=generator)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_the_loss_is_that_of_the_paper(pair, temperature):
    assert float(nt_xent(pair[0], pair[1], temperature=temperature)) == pytest.approx(
        naive(pair[0], pair[1], temperature), rel=1e-4
    )


def test_similarities_are_of_full_precision_under_autocast(pair):
    expected = nt_xent(pair[0], pair[1], temperature=0.07)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nt_xent(pair[0], pair[1], temperature=0.07), expected)


def test_negatives_of_the_same_subject_are_left_out(pair):
    subject = torch.tensor([1, 1, 2, 3, 3, 3])
    found = nt_xent(pair[0], pair[1], temperature=0.5, subject=subject)
    assert float(found) == pytest.approx(naive(pair[0], pair[1], 0.5, subject), rel=1e-4)
    assert float(found) < float(nt_xent(pair[0], pair[1], temperature=0.5))


@pytest.mark.parametrize("count", [2, 7, 64])
def test_identical_embeddings_give_the_log_of_the_other_views(count):
    same = torch.ones(count, 3)
    assert float(nt_xent(same, same, temperature=0.07)) == pytest.approx(math.log(2 * count - 1), abs=1e-4)


def test_the_length_of_an_embedding_does_not_matter(pair):
    first, second = pair
    assert float(nt_xent(7 * first, second, temperature=0.1)) == pytest.approx(
        float(nt_xent(first, second, temperature=0.1)), rel=1e-4
    )


def test_aligned_parts_are_compared_with_their_like_alone():
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 5, 3, 4, generator=generator)
    expected = sum(naive(first[:, k], second[:, k], 0.2) for k in range(3)) / 3
    found = sub_structure_loss(first, second, is_aligned=True, temperature=0.2)
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_pooled_parts_are_compared_with_all_parts():
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 4, 3, 4, generator=generator)
    subject = torch.tensor([0, 0, 1, 2])
    expected = naive(first.reshape(12, 4), second.reshape(12, 4), 0.2, subject.repeat_interleave(3))
    found = sub_structure_loss(first, second, is_aligned=False, temperature=0.2, subject=subject)
    assert float(found) == pytest.approx(expected, rel=1e-4)
