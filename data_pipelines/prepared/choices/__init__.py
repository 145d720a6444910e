"""Rows that are chosen from those of other prepared folders."""
