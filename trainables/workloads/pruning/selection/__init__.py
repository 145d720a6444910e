"""Selection of the units to remove: importance, counts, marks, and physical removal."""
