"""Batches from prepared rows: order, shares of the ranks, prefetching."""
