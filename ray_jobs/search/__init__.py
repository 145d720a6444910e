"""The verb `sweep`: searches under Ray Tune."""
