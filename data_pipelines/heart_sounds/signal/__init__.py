"""Signal processing of phonocardiograms: filtering, envelopes, segmentation into cycles."""
