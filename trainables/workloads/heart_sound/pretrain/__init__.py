"""The first stage: contrastive pretraining on unlabelled heart cycles."""
