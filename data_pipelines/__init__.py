"""Data: raw layouts, Parquet shards, and batches. Imports neither `trainables` nor `ray_jobs`."""
