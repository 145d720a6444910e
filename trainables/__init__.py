"""Training: the Ray Trainables, the engine that runs on a training worker, and the workloads.

`from trainables import load_model` loads a trained model for use from Python.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainables.inference.loading import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    """Import `load_model` on demand: it needs torch, which much of this package does without."""
    if name == "load_model":
        from trainables.inference.loading import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
