"""Contrastive pretraining on heart sounds, and fine-tuning of the same encoder on four clinical tasks."""
