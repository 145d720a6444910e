"""All code that imports wandb: mirrors of the records on disk, in one process for all runs of a driver."""
