"""Enlargement of images of any size."""
