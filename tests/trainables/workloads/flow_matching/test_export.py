"""The steps that an exported model's card writes down are those of the solvers."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.tasks import seeded
from tests.trainables.workloads.flow_matching.conftest import DATA_SPEC, tiny_config
from trainables.workloads.flow_matching.config import Evaluation, Sampling
from trainables.workloads.flow_matching.export import IN_PLACE_OF_DOPRI5
from trainables.workloads.flow_matching.flow.guidance import generate
from trainables.workloads.flow_matching.task import FlowMatchingTask

SOLVERS = [("euler", 4), ("midpoint", 4), ("heun", 4), ("rk4", 4)]


def task_with(sampling: Sampling) -> FlowMatchingTask:
    task = seeded(FlowMatchingTask)(tiny_config(evaluation=Evaluation(sampling=sampling)), DATA_SPEC)
    torch.nn.init.normal_(task.module.conv_out.weight, generator=torch.Generator().manual_seed(0))
    task.module.eval().requires_grad_(False)
    return task


def run_code(task: FlowMatchingTask) -> dict[str, Any]:
    """Run the code of the card with the network itself."""
    spec = task.export_spec()
    assert spec.use_code is not None

    def network(*inputs: np.ndarray) -> np.ndarray:
        return task.module(*map(torch.from_numpy, inputs)).numpy()

    space = {"np": np, "rng": np.random.default_rng(0), "network": network, "card": {"sampler": spec.sampler}}
    exec(spec.use_code, space)
    return space


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize(("solver", "nfe"), SOLVERS)
def test_the_written_steps_draw_the_solvers_pictures(solver, nfe, shift, guidance):
    sampling = Sampling(solver=solver, nfe=nfe, guidance=guidance, shift=shift)
    task = task_with(sampling)
    found = run_code(task)
    noise = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
    label = torch.from_numpy(found["label"])
    expected = generate(task.module, torch.from_numpy(noise), label, null_label=3, sampling=sampling).images
    assert np.abs(found["x"] - expected.numpy()).max() < 5e-5 < float((expected - torch.from_numpy(noise)).abs().max())
    assert found["pictures"].dtype == np.uint8


def test_adaptive_steps_are_replaced_by_fixed_ones_and_the_card_says_so():
    spec = task_with(Sampling(solver="dopri5", nfe=None, guidance=1.5)).export_spec()
    assert spec.sampler is not None
    fixed = (IN_PLACE_OF_DOPRI5.solver, IN_PLACE_OF_DOPRI5.num_steps, 1.5)
    assert (spec.sampler["solver"], spec.sampler["num_steps"], spec.sampler["guidance"]) == fixed
    assert any("The evaluation took dopri5" in sentence for sentence in spec.limits)
