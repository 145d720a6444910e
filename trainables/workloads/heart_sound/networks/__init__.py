"""The encoder that both stages share."""
