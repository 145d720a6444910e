"""The contract of a data pipeline, and the base of every settings class."""
