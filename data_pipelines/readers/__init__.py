"""Readers of one file format each; they know no data set."""
