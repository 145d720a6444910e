"""The reference of an evaluation: real images' features, and the trivial generator's scores."""
