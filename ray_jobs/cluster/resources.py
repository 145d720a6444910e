"""Resources of a cluster's machines, and a check that they have what the workers ask for."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_jobs.terminal import print_text
from trainables.run import Scaling

POLL_S = 2.0
"""Seconds between two checks for new machines."""
UNITS = {"memory": (2**30, "GiB of memory")}


@dataclass(frozen=True)
class Machine:
    """Machine of the cluster."""

    resources: Mapping[str, float]
    labels: Mapping[str, str]

    def count(self, bundle: Mapping[str, float]) -> int:
        """Return how many workers fit on it, when it is empty."""
        return min(int(self.resources.get(kind, 0.0) / amount + 1e-9) for kind, amount in bundle.items())


def check_resources(scaling: Scaling) -> bool:
    """Return whether the workers get GPUs. Waits up to `scaling.wait_for_nodes_s` for a cluster that grows.

    Raises ValueError when the cluster has less than the fewest workers need.
    """
    gpus = sum(machine.resources.get("GPU", 0.0) for machine in _list_fitting(scaling))
    uses_gpu = scaling.use_gpu if scaling.use_gpu is not None else gpus >= scaling.gpus_per_worker
    name = "min_workers" if scaling.min_workers else "num_workers"
    fewest = getattr(scaling, name)
    if _await_room(scaling, uses_gpu, scaling.num_workers) and (lacking := _lacking(scaling, uses_gpu, fewest)):
        raise ValueError(
            f"scaling.{name}={fewest}: {'; '.join(lacking)}; lower scaling.{name}, or what each worker asks for in "
            "`scaling`, or, if the cluster grows, raise scaling.wait_for_nodes_s"
        )
    return uses_gpu


def _await_room(scaling: Scaling, uses_gpu: bool, num_workers: int) -> list[str]:
    """Ask for the machines of so many workers, and wait `scaling.wait_for_nodes_s`; returns what is lacking then."""
    deadline = time.monotonic() + scaling.wait_for_nodes_s
    has_asked = False
    while (lacking := _lacking(scaling, uses_gpu, num_workers)) and time.monotonic() < deadline:
        if not has_asked:
            print_text(f"waiting for machines: {'; '.join(lacking)}")
            _ask_for([scaling.worker_resources(uses_gpu)] * num_workers, scaling.labels)
            has_asked = True
        time.sleep(POLL_S)
    if has_asked:
        _ask_for([], {})  # from here on the workers themselves hold what has come
    return lacking


def refuse_without_room_beside(scaling: Scaling, uses_gpu: bool) -> None:
    """Raise ValueError when the workers leave no room for the process that evaluates beside them.

    Waits for it as `check_resources` does.
    """
    if scaling.min_workers:
        raise ValueError(
            "training.evaluate=beside needs room beside the workers, and with scaling.min_workers they take all that "
            "there is; leave scaling.min_workers out, or give evaluate=inline"
        )
    number = scaling.num_workers
    lacking = _await_room(scaling.model_copy(update={"placement_strategy": "PACK"}), uses_gpu, number + 1)
    if lacking:
        raise ValueError(
            f"training.evaluate=beside: {number} workers and a further process of their size: {'; '.join(lacking)}; "
            "give fewer workers, or less for each in `scaling`, or evaluate=inline, or, if the cluster grows, raise "
            "scaling.wait_for_nodes_s"
        )


def list_machines() -> list[Machine]:
    """List the machines that are alive."""
    import ray

    return [Machine(node["Resources"], node.get("Labels") or {}) for node in ray.nodes() if node["Alive"]]


def _list_fitting(scaling: Scaling) -> list[Machine]:
    return [machine for machine in list_machines() if has_labels(machine, scaling.labels)]


def _lacking(scaling: Scaling, uses_gpu: bool, num_workers: int) -> list[str]:
    """Return in words what so many workers need and the cluster does not have."""
    bundle = scaling.worker_resources(uses_gpu)
    fitting = _list_fitting(scaling)
    if scaling.labels and not fitting:
        wanted = ", ".join(f"{name}={value}" for name, value in scaling.labels.items())
        return [f"scaling.labels asks for machines with {wanted}, and there is none"]
    kind = scaling.accelerator_type
    if kind and not any(_ACCELERATOR + kind in machine.resources for machine in fitting):
        found = sorted(
            {name.removeprefix(_ACCELERATOR) for m in fitting for name in m.resources if _ACCELERATOR in name}
        )
        return [f"scaling.accelerator_type is {kind}, and the machines have {', '.join(found) or 'no accelerator'}"]
    lacking = []
    for name, amount in bundle.items():
        have = sum(machine.resources.get(name, 0.0) for machine in fitting)
        if amount * num_workers > have and _ACCELERATOR not in name:
            scale, unit = UNITS.get(name, (1, name))
            lacking.append(f"{amount * num_workers / scale:g} {unit} are needed and the cluster has {have / scale:g}")
    if not lacking and _count_groups(fitting, bundle, num_workers, scaling.placement_strategy) < 1:
        words = {"STRICT_PACK": " on one machine", "STRICT_SPREAD": " on machines of their own"}
        room = sum(machine.count(bundle) for machine in fitting)
        lacking.append(
            f"{num_workers} workers are to be placed{words.get(scaling.placement_strategy, '')}, and the machines "
            f"have room for {room}, {max((machine.count(bundle) for machine in fitting), default=0)} on the largest"
        )
    return lacking


_ACCELERATOR = "accelerator_type:"
"""Beginning of the name of the resource that Ray gives to machines with an accelerator."""


def has_labels(machine: Machine, selector: Mapping[str, str]) -> bool:
    """Return whether a machine has the labels: each a value, `!value`, `in(a,b)` or `!in(a,b)`, as Ray has them."""
    return all(_fits(machine.labels.get(name), wanted) for name, wanted in selector.items())


def _fits(value: str | None, wanted: str) -> bool:
    is_not, wanted = wanted.startswith("!"), wanted.removeprefix("!")
    match = re.fullmatch(r"in\((.*)\)", wanted)
    values = [each.strip() for each in match[1].split(",")] if match else [wanted]
    return (value in values) != is_not


def _count_groups(machines: Sequence[Machine], bundle: Mapping[str, float], size: int, strategy: str) -> int:
    """Return how many groups of so many workers the empty machines have room for."""
    rooms = [machine.count(bundle) for machine in machines]
    if strategy == "STRICT_PACK":
        return sum(room // size for room in rooms)
    groups = sum(rooms) // size
    if strategy == "STRICT_SPREAD":
        while groups and sum(min(room, groups) for room in rooms) < groups * size:
            groups -= 1
    return groups


def count_rooms(scaling: Scaling, uses_gpu: bool) -> int:
    """Return how many runs of this size fit into the cluster at the same time, when it is empty; at least 1."""
    bundle = scaling.worker_resources(uses_gpu)
    return max(
        _count_groups(_list_fitting(scaling), bundle, max(scaling.num_workers, 1), scaling.placement_strategy), 1
    )


def machine_cpus() -> int:
    """Return the CPUs of the cluster's largest machine; workers that hold few may all be placed on it."""
    return int(max(machine.resources.get("CPU", 1) for machine in list_machines()))


def _ask_for(bundles: list[dict[str, float]], labels: Mapping[str, str]) -> None:
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=bundles, bundle_label_selectors=[dict(labels)] * len(bundles) if labels else None)
