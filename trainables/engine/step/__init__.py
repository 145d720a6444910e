"""One optimiser step: gradients, learning rate, precision, moving average of weights."""
