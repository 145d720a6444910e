"""The Ray Trainables, and the Ray Train processes that run the engine."""
