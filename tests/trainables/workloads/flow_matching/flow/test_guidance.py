import pytest
import torch
from torch import Tensor, nn

from tests.trainables.workloads.flow_matching.conftest import tiny_config
from trainables.workloads.flow_matching.config import CALLS_PER_STEP, Evaluation, Pictures, Sampling, Solver
from trainables.workloads.flow_matching.flow.guidance import GuidedVelocity, generate

NULL = 3
UNLABELLED = Pictures(sampling=Sampling(guidance=0.0), comparisons=())


class Field(nn.Module):
    """A velocity that depends on everything; counts the rows it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.num_rows = 0

    def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
        self.num_rows += len(x)
        shift = (label.float() + 2 * t).view(-1, 1, 1, 1)
        return shift - x * shift.sin()


def noise() -> Tensor:
    return torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))


LABEL = torch.tensor([0, 1, 2, 1])


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_guided_velocity_equals_the_formula_sample_by_sample(guidance: float):
    field, x, t = Field(), noise(), torch.tensor(0.3)
    velocity = GuidedVelocity(field, LABEL, NULL, guidance)(t, x)
    for i in range(4):
        v_label = field(x[i : i + 1], t.view(1), LABEL[i : i + 1])
        v_null = field(x[i : i + 1], t.view(1), torch.tensor([NULL]))
        assert torch.allclose(velocity[i : i + 1], v_null + guidance * (v_label - v_null), atol=1e-6)


@pytest.mark.parametrize(("guidance", "factor"), [(1.0, 1), (2.0, 2)])
@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4", "dopri5"])
def test_evaluations_seen_by_the_network_equal_those_reported(solver: Solver, guidance: float, factor: int):
    field = Field()
    calls: list[int] = []
    field.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    calls_per_step = CALLS_PER_STEP.get(solver)
    nfe = None if calls_per_step is None else 3 * calls_per_step
    sampling = Sampling(solver=solver, nfe=nfe, guidance=guidance)
    samples = generate(field, noise(), LABEL, null_label=NULL, sampling=sampling)
    assert samples.nfe_ode == len(calls) and (nfe is None or samples.nfe_ode == nfe)
    assert samples.nfe_net == factor * samples.nfe_ode
    assert field.num_rows == samples.nfe_net * 4


def test_the_solver_runs_in_the_precision_of_the_noise():
    class Half(Field):
        def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
            return super().forward(x, t, label).bfloat16()

    for guidance in (1.0, 2.0):
        sampling = Sampling(solver="heun", nfe=4, guidance=guidance)
        assert generate(Half(), noise(), LABEL, null_label=NULL, sampling=sampling).images.dtype == torch.float32


def test_generated_images_carry_no_gradient():
    layer = nn.Conv2d(1, 1, 1)

    class Learnt(nn.Module):
        def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
            return layer(x)

    sampling = Sampling(solver="euler", nfe=2, guidance=1.0)
    assert not generate(Learnt(), noise(), LABEL, null_label=NULL, sampling=sampling).images.requires_grad


def test_guidance_without_a_trained_null_class_is_refused():
    with pytest.raises(ValueError, match=r"set `guidance: 1\.0` in evaluation\.sampling, pictures\.comparisons\.0, or"):
        tiny_config(label_drop_ratio=0.0, evaluation=Evaluation(sampling=Sampling(guidance=0.0)))
    unguided = Sampling(guidance=1.0)
    tiny_config(label_drop_ratio=0.0, pictures=Pictures(sampling=unguided, comparisons=(unguided,)))


def test_samples_of_labels_that_are_never_learnt_are_refused():
    with pytest.raises(
        ValueError, match=r"so no label is ever learnt; set `guidance: 0\.0` in evaluation\.sampling, or a"
    ):
        tiny_config(label_drop_ratio=1.0, pictures=UNLABELLED)
    tiny_config(label_drop_ratio=1.0, pictures=UNLABELLED, evaluation=Evaluation(sampling=Sampling(guidance=0.0)))


def test_without_labels_one_call_uses_the_null_class():
    labels = []

    class Spy(nn.Module):
        def forward(self, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
            labels.append(label)
            return x

    sampling = Sampling(solver="euler", nfe=3, guidance=0.0)
    samples = generate(Spy(), noise(), LABEL, null_label=NULL, sampling=sampling)
    assert (samples.nfe_ode, samples.nfe_net) == (3, 3)
    assert all(label.tolist() == [NULL] * len(LABEL) for label in labels)
