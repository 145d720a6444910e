"""Files that the driver writes into the folder of a run."""
