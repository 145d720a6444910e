"""Reading of prepared data, beside other libraries: `python -m benchmarks.feed`."""
