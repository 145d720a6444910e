"""Settings of an experiment, and the strict YAML that they are read from."""
