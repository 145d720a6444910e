"""Node affinity: a run's small processes stay on the machine that starts them, so no other machine can end them."""

import ray

NODE_ID = "ray.io/node-id"
"""Label that Ray gives to every machine."""


def this_node() -> dict[str, str]:
    """Return the label selector of this process's machine."""
    return {NODE_ID: ray.get_runtime_context().get_node_id()}
