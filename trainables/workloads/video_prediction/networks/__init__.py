"""The networks that predict future frames."""
