"""Networks built from a blueprint, so that a pruned one is an ordinary small network."""
