"""Steps from an experiment to a finished run: models found, data prepared, resources checked, training driven."""
