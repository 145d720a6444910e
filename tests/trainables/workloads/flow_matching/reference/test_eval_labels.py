import torch

from trainables.workloads.flow_matching.evaluator import choose_labels, choose_shown


def test_labels_have_the_class_frequencies_of_the_data():
    labels = choose_labels(1000, [0.5, 0.3, 0.2, 0.0], seed=0)
    assert torch.bincount(labels, minlength=4).tolist() == [500, 300, 200, 0]


def test_labels_that_cannot_be_exact_are_less_than_one_off():
    for num_samples in range(1, 40):
        labels = choose_labels(num_samples, [0.61, 0.27, 0.12], seed=0)
        wanted = num_samples * torch.tensor([0.61, 0.27, 0.12])
        assert len(labels) == num_samples
        assert ((torch.bincount(labels, minlength=3) - wanted).abs() < 1).all()


def test_the_order_is_mixed_and_fixed_by_the_seed():
    labels = choose_labels(300, [1 / 3, 1 / 3, 1 / 3], seed=4)
    assert torch.equal(labels, choose_labels(300, [1 / 3, 1 / 3, 1 / 3], seed=4))
    assert not torch.equal(labels, choose_labels(300, [1 / 3, 1 / 3, 1 / 3], seed=5))
    assert torch.bincount(labels[:30], minlength=3).min() > 3


def test_as_many_samples_of_each_class_are_shown():
    labels = torch.tensor([2, 0, 2, 2, 0, 1, 0, 1])
    assert choose_shown(labels).tolist() == [1, 4, 5, 7, 0, 2]
    assert len(choose_shown(torch.arange(30).repeat(20))) == 10 * 8
