"""How many workers a run starts: after a loss, after a start that timed out, at a checkpoint; without a cluster."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray
import ray.train
from ray.train.v2._internal.execution.scaling_policy import NoopDecision

from trainables.contract.training_config import Training
from trainables.ray_train import worker_count
from trainables.ray_train.worker_count import MIN_PATIENCE_S, WorkerCount, allowed_counts
from trainables.ray_train.worker_main import RunError
from trainables.run import Scaling

TRAINING = Training(epochs=1, batch_size=48, accumulate=2)


class Policy(WorkerCount):
    """With machines that the test has, `room` by node, and a clock."""

    def __init__(self, **scaling: Any):
        settings = Scaling(**{"num_workers": 4, "cpus_per_worker": 0.5, **scaling})
        resources: Any = {"CPU": settings.cpus_per_worker}
        config = ray.train.ScalingConfig(num_workers=settings.num_workers, resources_per_worker=resources)
        super().__init__(config, settings, TRAINING)
        self.room: dict[str, float] = {"a": 1.0, "b": 1.0}

    def _maybe_send_resource_request(self) -> None:
        pass

    @property
    def _autoscaling_coordinator(self) -> Any:
        def answer(requester: Any, recompute: bool) -> dict:
            assert recompute
            return {node: {"CPU": cpus, "memory": 1.0} for node, cpus in self.room.items()}

        return SimpleNamespace(get_reserved_resources=SimpleNamespace(remote=answer))

    def start(self) -> int:
        """Workers of the next start."""
        decision: Any = self.make_decision_for_non_running_worker_group()
        return decision.num_workers

    def look(self, num_workers: int, *, age_s: float = 100.0, **report: Any) -> int | None:
        """Workers that running ones are to become; None to go on."""
        state = SimpleNamespace(num_workers=num_workers, start_time=worker_count.time_monotonic() - age_s)
        content = SimpleNamespace(metrics={"report": report}) if report else None
        status = SimpleNamespace(worker_statuses={0: SimpleNamespace(training_report=content)})
        decision: Any = self.make_decision_for_running_worker_group(state, status)
        return None if isinstance(decision, NoopDecision) else decision.num_workers


@pytest.fixture(autouse=True)
def leaving(monkeypatch) -> dict[str, int]:
    """Nodes whose end is announced."""
    nodes: dict[str, int] = {}
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(worker_count.cluster_state, "get_draining_nodes", lambda: nodes)
    return nodes


@pytest.mark.parametrize(
    ("fewest", "most", "counts"), [(None, 4, [4]), (1, 4, [1, 2, 3, 4]), (3, 8, [3, 4, 5, 6, 7, 8]), (2, 2, [2])]
)
def test_any_number_in_the_range_is_allowed(fewest, most, counts):
    assert allowed_counts(Scaling(num_workers=most, min_workers=fewest), TRAINING) == counts


def test_a_fixed_number_is_asked_for_whatever_there_is():
    policy = Policy()
    policy.room = {"a": 0.5}
    assert [policy.start(), policy.look(4, checkpoint="x"), policy.start(), policy.start()] == [4, None, 4, 4]


def test_after_a_loss_all_workers_are_tried_then_what_fits(leaving):
    policy = Policy(min_workers=1)
    assert policy.start() == 4 and policy.look(4) is None
    leaving["b"] = 0
    assert [policy.start(), policy.start()] == [4, 2]
    policy.room = {}
    assert policy.start() == 1  # waits for it


def test_it_grows_at_a_checkpoint_when_it_has_run_for_a_while():
    policy = Policy(min_workers=1)
    policy.room = {"a": 1.0}
    assert policy.start() == 2
    assert policy.look(2, checkpoint="x") is None
    policy.room["b"] = 0.5
    assert policy.look(2) is None and policy.look(2, step=3) is None
    assert policy.look(2, checkpoint="x", age_s=MIN_PATIENCE_S - 1.0) is None
    assert policy.look(2, checkpoint="x") == 3
    policy.room["b"] = 0.0
    assert policy.start() == 2  # it was gone again before they had started


def test_only_consecutive_failed_starts_end_the_run():
    policy = Policy(wait_for_nodes_s=120, use_gpu=False)
    for _ in range(3):
        assert [policy.start() for _ in range(4)] == [4] * 4
        policy.look(4)
    for _ in range(4):
        policy.start()
    with pytest.raises(RunError, match=r"4 workers did not start in 4 attempts of 120 s: .*scaling.wait_for_nodes_s"):
        policy.start()


def test_a_range_is_checked():
    with pytest.raises(ValueError, match="min_workers=3 is more than num_workers=2"):
        Scaling(num_workers=2, min_workers=3)
