"""Files that a training writes: checkpoints, model versions, pictures, metric rows."""
