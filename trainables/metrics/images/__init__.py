"""Metrics of images and frames against the truth."""
