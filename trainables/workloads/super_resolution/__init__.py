"""Super-resolution of single images: training patches, networks, published protocols, own images."""
