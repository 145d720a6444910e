"""Predict the next frames of a synthetic clip: `python video_prediction.py MODEL [FILE.gif]`; the file gets the result.

Clips of your own are predicted in the same way: `model.predict(["drive.mp4", "folder_of_frames"])`.
"""

import sys

import numpy as np
from PIL import Image

from trainables import load_model

NUM_FRAMES, SIDE = 16, 32


def main(model_folder: str, out: str = "future.gif") -> None:
    """Write past and predicted frames of a bright square that moves to the right."""
    clip = np.zeros((NUM_FRAMES, SIDE, SIDE, 1), np.uint8)
    for place, frame in enumerate(clip):
        frame[12:20, 2 + place : 10 + place] = 255

    model = load_model(model_folder, seed=0)
    (predicted,) = model.predict([clip])

    past, future = predicted.past, predicted.future[0]  # the first draw
    frames = [Image.fromarray(np.squeeze(frame)).resize((256, 256)) for frame in (*past, *future)]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=300, loop=0)
    print(f"{out}: {len(past)} last frames of a synthetic clip, then {len(future)} predicted ones")


if __name__ == "__main__":
    main(*sys.argv[1:])
