"""Magnitude pruning over all layers against a sorted list."""

import pytest
import torch

from trainables.workloads.pruning.selection.magnitude_masks import prune_globally


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(7, 5, generator=generator), "b": 3 * torch.randn(4, 3, 2, 2, generator=generator)}


def naive(tensors: dict[str, torch.Tensor], rate: float, alive: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    places = []
    for order, (name, tensor) in enumerate(tensors.items()):
        for index, value in enumerate(tensor.flatten().tolist()):
            if alive[name].flatten()[index]:
                places.append((abs(value), order, name, index))
    masks = {name: mask.clone() for name, mask in alive.items()}
    for _, _, name, index in sorted(places)[: round(rate * len(places))]:
        masks[name].view(-1)[index] = False
    return masks


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5, 0.99])
def test_the_smallest_weights_over_all_layers_go(rate):
    tensors = weights()
    whole = {name: torch.ones_like(tensor, dtype=torch.bool) for name, tensor in tensors.items()}
    masks = prune_globally(tensors, rate)
    expected = naive(tensors, rate, whole)
    assert all(torch.equal(masks[name], expected[name]) for name in tensors)
    again = prune_globally(tensors, rate, masks)
    expected = naive(tensors, rate, masks)
    assert all(torch.equal(again[name], expected[name]) for name in tensors)


def test_among_equal_magnitudes_the_first_go():
    masks = prune_globally({"a": torch.tensor([1.0, -1.0, 1.0]), "b": torch.tensor([-1.0, 0.5])}, 0.6)
    assert masks["a"].tolist() == [False, False, True] and masks["b"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("rate", "left"), [(0.15, (0.85, 0.722, 0.444, 0.197, 0.087)), (0.2, (0.8, 0.64, 0.328, 0.107, 0.035))]
)
def test_k_rounds_at_ratio_p_keep_1_minus_p_to_the_k(rate, left):
    tensors = {"a": torch.randn(60_000, generator=torch.Generator().manual_seed(1))}
    masks = None
    shares = {}
    for times in range(1, 16):
        masks = prune_globally(tensors, rate, masks)
        shares[times] = masks["a"].float().mean().item()
        assert shares[times] == pytest.approx((1 - rate) ** times, abs=1e-4)
    assert [shares[times] for times in (1, 2, 5, 10, 15)] == pytest.approx(left, abs=6e-4)


def test_the_given_masks_stay_as_they_are():
    tensors = weights()
    masks = prune_globally(tensors, 0.5)
    before = {name: mask.clone() for name, mask in masks.items()}
    prune_globally(tensors, 0.5, masks)
    assert all(torch.equal(masks[name], before[name]) for name in masks)
