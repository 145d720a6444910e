"""What generated images are compared with."""
