"""The first stage: contrastive learning on unlabelled heart cycles."""
