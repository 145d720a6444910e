"""Training: the Ray Trainables, the engine that runs on a training worker, and the workloads."""
