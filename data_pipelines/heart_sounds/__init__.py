"""Phonocardiograms: recordings, their heart cycles, and the data sets that hold them."""
