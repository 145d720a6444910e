"""Super-resolution of single images: training patches, networks, published protocols, the user's own images."""
