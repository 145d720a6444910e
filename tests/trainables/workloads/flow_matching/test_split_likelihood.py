import pytest
import torch
from torch import Tensor, nn

from tests.trainables.workloads.flow_matching.conftest import CPU, DATA_SPEC, Ranks, run_ranks, solo, tiny_rows
from trainables.workloads.flow_matching.config import FlowMatchingConfig
from trainables.workloads.flow_matching.picture_likelihood import SplitLikelihood, compute_likelihood
from trainables.workloads.flow_matching.prediction_options import FlowOptions
from trainables.workloads.flow_matching.reference.reservoir import hash_content

NAMES = DATA_SPEC["class_names"]


class Contraction(nn.Module):
    """v(t, x) = (label - 1) / 2 x, whose flow has a density in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        return (label.view(-1, 1, 1, 1) - 1) / 2 * x


def compute(collectives: Ranks, num_images: int = 5, *, uses_labels: bool = True) -> dict[str, float]:
    likelihood = SplitLikelihood(
        num_images,
        shape=(1, 4, 4),
        class_names=NAMES,
        uses_labels=uses_labels,
        seed=3,
        collectives=collectives,
        device=CPU,
    )
    images, labels = (rows[collectives.rank :: collectives.world_size] for rows in tiny_rows(20))
    for image, label in zip(images.split(3), labels.split(3), strict=True):
        likelihood.add(image, label)
    with torch.no_grad():
        return likelihood.compute(Contraction())


@pytest.mark.parametrize("uses_labels", [True, False])
def test_the_mean_is_that_of_single_likelihoods(uses_labels: bool):
    images, labels = tiny_rows(20)
    hashes = hash_content(images, labels)
    found = []
    for place in hashes.argsort()[:5].tolist():
        label = int(labels[place]) if uses_labels else None
        name = str(int(hashes[place]))
        one = compute_likelihood(
            Contraction(), images[place], name, FlowOptions(seed=3), class_names=NAMES, label=label
        )
        found.append(one.bits_per_dim)
    mean = sum(found) / 5
    metrics = compute(solo(), uses_labels=uses_labels)
    assert metrics["eval/bits_per_dim"] == pytest.approx(mean, rel=1e-9)
    error = (sum((value - mean) ** 2 for value in found) / 4 / 5) ** 0.5
    assert metrics["eval/bits_per_dim_se"] == pytest.approx(error, rel=1e-6)


def test_ranks_share_the_images():
    expected = compute(solo())
    for metrics in run_ranks(3, compute):
        assert metrics == pytest.approx(expected, rel=1e-9)


def test_a_split_without_images_is_refused():
    likelihood = SplitLikelihood(
        2, shape=(1, 4, 4), class_names=NAMES, uses_labels=True, seed=0, collectives=solo(), device=CPU
    )
    with pytest.raises(ValueError, match=r"there are no test images for `evaluation\.num_likelihoods`"):
        likelihood.compute(Contraction())


def test_likelihoods_may_choose_the_best_model():
    selection = {"metric": "eval/bits_per_dim", "mode": "min"}
    chosen = FlowMatchingConfig.model_validate({"evaluation": {"num_likelihoods": 9}, "selection": selection})
    assert chosen.selection_metric.metric == "eval/bits_per_dim"
    with pytest.raises(ValueError, match=r"eval/bits_per_dim.*eval/fid_local"):
        FlowMatchingConfig.model_validate({"selection": selection})
