"""Iterative structured pruning of vision transformers and ResNets: `refill` and `rsst`."""
