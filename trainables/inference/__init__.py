"""Trained models applied to new inputs, without training data: loading, the loop over inputs, and export."""
