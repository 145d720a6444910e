"""Tasks built as the register builds them: with weights that follow from the seed."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from trainables.contract.task import Task
from trainables.workloads import Workload

TaskT = TypeVar("TaskT", bound=Task)


def seeded(task_class: Callable[..., TaskT]) -> Callable[..., TaskT]:
    """`task_class` whose construction is seeded by its argument `seed`."""
    workload = Workload(config="", pipeline="", task=task_class)

    def build(config: Any, data_spec: Any, seed: int = 0) -> TaskT:
        return cast(TaskT, workload.build_task(config, data_spec, seed))

    return build
