"""Prepared data: Parquet shards with a manifest, written resumably and read through Ray Data."""
