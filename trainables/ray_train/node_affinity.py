"""Node affinity: a run's small processes stay on the machine that starts them, so no other machine can end them."""

import ray
from ray._raylet import RAY_NODE_ID_KEY  # pyright: ignore


def this_node() -> dict[str, str]:
    """Return the label selector of this process's machine."""
    return {RAY_NODE_ID_KEY: ray.get_runtime_context().get_node_id()}
