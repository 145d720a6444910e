import torch

from tests.trainables.workloads.flow_matching.conftest import CPU, Ranks, run_ranks, solo
from trainables.workloads.flow_matching.reference.reservoir import Subset, SubsetSampler

SHAPE = (1, 4, 4)


def rows(num_rows: int = 500) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (num_rows, *SHAPE), dtype=torch.uint8, generator=generator)
    return images, torch.arange(num_rows)


def sample(order: torch.Tensor, size: int, batch_size: int = 7) -> Subset:
    sampler = SubsetSampler(SHAPE, CPU, size=size)
    images, labels = rows()
    for chosen in order.split(batch_size):
        sampler.add(images[chosen], labels[chosen])
    return sampler.gather(solo())


def test_the_sample_does_not_depend_on_the_order_of_the_rows():
    first = sample(torch.arange(500), 40)
    shuffled = sample(torch.randperm(500, generator=torch.Generator().manual_seed(1)), 40, batch_size=33)
    assert torch.equal(first.labels, shuffled.labels) and torch.equal(first.images, shuffled.images)


def test_the_sample_does_not_depend_on_the_number_of_ranks():
    images, labels = rows()

    def body(collectives: Ranks) -> Subset:
        sampler = SubsetSampler(SHAPE, CPU, size=40)
        share = slice(collectives.rank, None, collectives.world_size)
        sampler.add(images[share], labels[share])
        return sampler.gather(collectives)

    expected = sample(torch.arange(500), 40)
    for subset in run_ranks(3, body):
        assert torch.equal(subset.labels, expected.labels) and torch.equal(subset.images, expected.images)


def test_labels_stay_with_images_and_the_sample_is_spread():
    images, _ = rows()
    subset = sample(torch.arange(500), 100)
    assert torch.equal(subset.images, images[subset.labels])
    assert len(subset.labels.unique()) == 100
    assert 15 < (subset.labels < 125).sum() < 38


def test_all_rows_are_kept_when_there_are_few():
    assert sample(torch.arange(500), 1000).labels.sort().values.tolist() == list(range(500))


def test_a_rank_without_rows_takes_part():
    images, labels = rows(5)

    def body(collectives: Ranks) -> Subset:
        sampler = SubsetSampler(SHAPE, CPU)
        if collectives.rank == 0:
            sampler.add(images, labels)
        return sampler.gather(collectives)

    assert [len(subset.labels) for subset in run_ranks(2, body)] == [5, 5]
