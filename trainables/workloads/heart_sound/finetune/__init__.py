"""The second stage: a clinical task on the pretrained encoder."""
