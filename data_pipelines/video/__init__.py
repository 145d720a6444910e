"""Clips of frames, and training windows cut out of them."""
