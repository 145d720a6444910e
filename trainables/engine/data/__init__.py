"""From prepared rows to batches: order, shares of the ranks, prefetching."""
