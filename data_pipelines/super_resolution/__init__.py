"""Whole images at several resolutions, and training patches cut out of them."""
