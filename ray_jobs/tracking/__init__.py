"""All code that imports wandb: a mirror of the record on disk, in a process of its own."""
