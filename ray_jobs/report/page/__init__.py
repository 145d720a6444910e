"""The HTML pages of runs and searches."""
