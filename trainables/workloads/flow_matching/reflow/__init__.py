"""Reflow (Liu et al. 2022): pairs of noise and image made by a trained model."""
