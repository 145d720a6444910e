"""What the driver writes into the folder of a run."""
