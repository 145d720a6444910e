"""Metrics of generated images and clips."""
