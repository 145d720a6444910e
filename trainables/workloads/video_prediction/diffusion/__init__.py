"""Diffusion: forward process, sampling, prediction targets."""
