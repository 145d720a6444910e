import io
from dataclasses import replace

import pytest
import torch

from tests.trainables.workloads.flow_matching.conftest import Ranks, run_ranks, solo, start_of
from trainables.metrics.generative.frechet import Gaussian
from trainables.workloads.flow_matching.reference.reference_statistics import RealData
from trainables.workloads.flow_matching.reference.scoring import Scores

SHAPE = (1, 4, 4)


def learnt(collectives: Ranks | None = None, seed: int = 3) -> RealData:
    real = RealData(SHAPE, 3)
    real.learn(replace(start_of(collectives or solo()), seed=seed))
    return real


def weights(real: RealData) -> torch.Tensor:
    assert real.network is not None
    return torch.cat([tensor.flatten().float() for tensor in real.network.state_dict().values()])


def test_statistics_repeat_and_keep_the_global_random_state():
    torch.manual_seed(0)
    first = learnt()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    second = learnt()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights(first), weights(second))


def test_runs_with_other_seeds_are_measured_in_the_same_features():
    assert torch.equal(weights(learnt(seed=0)), weights(learnt(seed=1)))


def test_the_features_do_not_depend_on_the_number_of_ranks():
    expected = learnt()
    for real in run_ranks(2, learnt):
        assert torch.equal(weights(real), weights(expected))
        assert real.accuracy == expected.accuracy
        assert real.class_ratios() == expected.class_ratios() == [0.5, 0.25, 0.25]


def test_the_state_survives_a_file_that_holds_plain_data_only():
    real = learnt()
    real.gaussians["local"] = Gaussian(torch.zeros(64).double(), torch.eye(64).double())
    real.keep_baseline("local", 22, Scores(1.0, 2.0, 3.0))
    file = io.BytesIO()
    torch.save(real.state_dict(), file)
    file.seek(0)
    restored = RealData(SHAPE, 3)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(weights(restored), weights(real))
    assert restored.network is not None and not restored.network.training
    assert restored.class_ratios() == real.class_ratios()
    assert torch.equal(restored.gaussians["local"].covariance, torch.eye(64).double())
    assert restored.baseline("local", 22) == Scores(1.0, 2.0, 3.0)
    assert restored.baseline("local", 23) is None and restored.baseline("inception", 22) is None
    assert restored.accuracy == real.accuracy


def test_before_computing_the_state_is_empty_and_classes_equal():
    real = RealData(SHAPE, 4)
    assert real.state_dict() == {}
    real.load_state_dict({})
    assert real.class_ratios() == pytest.approx([0.25] * 4)
