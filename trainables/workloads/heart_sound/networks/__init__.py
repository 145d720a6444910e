"""The encoder that both heart-sound stages share."""
