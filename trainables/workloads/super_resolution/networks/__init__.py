"""Super-resolution networks: each takes images in 0..1, [batch, 3, height, width], and a scale, and enlarges them."""
