"""Which units are removed: importance, counts, marks, and their physical removal."""
