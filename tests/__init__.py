"""Tests of Quintet."""
