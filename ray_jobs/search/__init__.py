"""The `sweep` verb: searches under Ray Tune."""
