"""Video data: clips of frames, and training windows cut from them."""
