"""Mixed precision is the module's alone."""

import pytest
import torch
from torch import Tensor, nn

from trainables.engine.step.precision import forward_in

CPU = torch.device("cpu")


class Seeing(nn.Module):
    """Remembers in what type its layer answered."""

    def __init__(self, *, fails: bool = False):
        super().__init__()
        self.layer, self.fails, self.seen = nn.Linear(4, 4), fails, []

    def forward(self, x: Tensor) -> Tensor:
        output = self.layer(x)
        self.seen.append(output.dtype)
        if self.fails:
            raise RuntimeError("inside")
        return output


@pytest.mark.parametrize(
    ("precision", "inside"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_mixed_precision_applies_to_the_module_alone(precision, inside):
    module, x = Seeing(), torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    with forward_in(precision, module, CPU):
        outputs = [module(x), module(x)]
        assert (outputs[1] @ x.T).dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    assert module.seen == [inside, inside] and all(output.dtype == torch.float32 for output in outputs)
    with torch.autocast("cpu", dtype=inside, enabled=precision != "fp32"):
        assert torch.equal(module(x).float(), outputs[0])
    assert module(x).dtype == torch.float32 and module.seen[-1] == torch.float32  # nothing is left behind


def test_a_forward_pass_that_fails_leaves_nothing_behind():
    module = Seeing(fails=True)
    with pytest.raises(RuntimeError, match="inside"), forward_in("bf16", module, CPU):
        module(torch.zeros(1, 4))
    assert not torch.is_autocast_enabled("cpu")
    module.fails = False
    assert module(torch.zeros(1, 4)).dtype == torch.float32


def test_other_answers_than_numbers_stay_as_they_are():
    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.argmax(dim=1)

    module = Counting()
    with forward_in("bf16", module, CPU):
        assert module(torch.eye(3)).dtype == torch.int64
