"""Records that a report reads from the folders of runs and searches."""
