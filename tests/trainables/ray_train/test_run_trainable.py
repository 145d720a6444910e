"""Words for the errors that Ray Train ends with."""

import pytest
import ray.train

from trainables.ray_train.run_trainable import as_run_error
from trainables.ray_train.worker_main import RunError


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("WorkerGroupStartupTimeoutError", "the workers did not start: .*needs 8 CPUs.*wait_for_nodes_s"),
        ("CheckpointManagerInitializationError", "Ray Train failed: .*needs 8 CPUs.*goes on from the last checkpoint"),
    ],
)
def test_a_failed_controller_is_told_by_its_cause(kind, words):
    cause = type(kind, (RuntimeError,), {})("needs 8 CPUs")
    with pytest.raises(RunError, match=f"(?s){words}"):
        raise as_run_error(ray.train.ControllerError(cause))
