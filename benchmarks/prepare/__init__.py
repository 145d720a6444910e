"""Preparation of raw data, beside other libraries: `python -m benchmarks.prepare`."""
