"""What each layer costs, as ratios in one run on one machine."""
