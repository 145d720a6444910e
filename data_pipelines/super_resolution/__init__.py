"""Super-resolution data: complete images at several resolutions, and training patches cropped from them."""
