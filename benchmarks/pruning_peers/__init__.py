"""Criteria of ours against Torch-Pruning's on published ResNets: right after removal, and after a short training."""
