"""Draw samples of a flow, and measure how likely digits are: `python flow_matching.py MODEL [FILE.png]`.

The file gets the samples, a class in each row.
"""

import sys
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from trainables import load_model

NUM_PER_CLASS = 8


def main(model_folder: str, out: str = "samples.png") -> None:
    """Write the samples, and print the likelihoods of digits and of noise, in bits per dimension."""
    model: Any = load_model(model_folder, seed=0)  # a FlowMatchingPredictor, which does more than `predict`
    samples = model.generate(num_per_class=NUM_PER_CLASS)

    rows = [samples[start : start + NUM_PER_CLASS] for start in range(0, len(samples), NUM_PER_CLASS)]
    sheet = np.vstack([np.hstack([sample.image for sample in row]) for row in rows])
    picture = Image.fromarray(np.squeeze(sheet))  # grey or colours
    picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST).save(out)
    print(f"{out}: {NUM_PER_CLASS} samples of each of {', '.join(str(row[0].class_name) for row in rows)}")

    images, _ = load_digits(return_X_y=True)
    digit = np.floor(images[0] * 255 / 16 + 0.5).astype(np.uint8).reshape(8, 8)
    noise = np.random.default_rng(0).integers(0, 256, digit.shape, dtype=np.uint8)
    of_digit, of_noise = model.log_likelihood([digit, noise])
    print(f"a digit takes {of_digit[0].bits_per_dim:.2f} bits per dimension, noise {of_noise[0].bits_per_dim:.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
