"""Where a run's small processes stand: beside the one that starts them, so that no other machine takes them along."""

import ray
from ray._raylet import RAY_NODE_ID_KEY  # pyright: ignore


def this_node() -> dict[str, str]:
    """Return the label selector of this process's machine."""
    return {RAY_NODE_ID_KEY: ray.get_runtime_context().get_node_id()}
