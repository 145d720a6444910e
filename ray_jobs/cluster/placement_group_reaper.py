"""Removal of orphaned placement groups: Ray frees those of a killed trial only when the complete job ends.

The next start of a killed trial would wait forever for the CPUs that its own workers held.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private.state import state as cluster_state
from ray._raylet import PlacementGroupID
from ray.core.generated import gcs_pb2
from ray.util.placement_group import PlacementGroup, remove_placement_group

INTERVAL_S = 2.0
table: Any = gcs_pb2.PlacementGroupTableData  # pyright: ignore


@contextmanager
def freeing_orphans() -> Iterator[None]:
    """Remove orphaned placement groups every two seconds inside the block, and once at its end."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(INTERVAL_S):
            free_orphans()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        free_orphans()


def free_orphans() -> int:
    """Remove this job's placement groups whose creator is dead; returns how many there were."""
    orphans = [PlacementGroup(PlacementGroupID(row.placement_group_id)) for row in _rows() if _is_orphan(row)]
    for group in orphans:
        remove_placement_group(group)
    return len(orphans)


def _is_orphan(row: Any) -> bool:
    is_ours = row.creator_job_id.hex() == ray.get_runtime_context().get_job_id()
    is_of_actor = not ray.ActorID(row.creator_actor_id).is_nil()  # the trial's own group is the driver's
    is_held = row.state != table.REMOVED
    return is_ours and is_of_actor and is_held and row.creator_actor_dead and not row.is_detached


def _rows() -> list[Any]:
    # Ray's public table leaves out the creator of a group
    accessor = cluster_state._connect_and_get_accessor()
    return [table.FromString(row) for row in accessor.get_placement_group_table()]
