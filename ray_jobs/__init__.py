"""Processes that a person starts: the command line, the launch of a run, and its record."""
