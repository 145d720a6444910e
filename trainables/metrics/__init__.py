"""Metrics, each with a naive oracle in its test."""
