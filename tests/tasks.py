"""Tasks built as the register builds them: with weights that follow from the seed."""

from collections.abc import Callable
from typing import Any, TypeVar

from trainables.contract.seeding import seeded_initialisation
from trainables.contract.task import Task

TaskT = TypeVar("TaskT", bound=Task)


def seeded(task_class: Callable[..., TaskT]) -> Callable[..., TaskT]:
    """`task_class` whose construction is seeded by its argument `seed`."""

    def build(config: Any, data_spec: Any, seed: int = 0) -> TaskT:
        with seeded_initialisation(seed, getattr(task_class, "weights_stream", "network")):
            return task_class(config, data_spec, seed)

    return build
