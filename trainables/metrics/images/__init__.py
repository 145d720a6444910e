"""Metrics of images and frames against the ground truth."""
