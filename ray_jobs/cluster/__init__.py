"""Connections to Ray clusters, local clusters, and jobs submitted to remote ones."""
