"""The space of prediction: pixels, or latents of a frozen autoencoder."""
