"""Bases of pipelines: of arrays in memory and of raw data at a path; folders of splits."""
