"""Prediction of future video frames by diffusion with a transformer (DiT), in pixels or in latents."""
