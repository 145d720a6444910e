"""Rectified flow and optimal-transport flow matching for class-conditional images."""
