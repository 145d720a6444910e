"""Published evaluation protocols, benchmarks, and the bicubic baseline."""
