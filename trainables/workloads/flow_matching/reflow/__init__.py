"""Reflow (Liu et al. 2022): training on pairs of noise and image made by a trained model."""
