"""Classify handwritten digits of scikit-learn with a pruned network: `python pruning.py MODEL`."""

import sys

import numpy as np
from sklearn.datasets import load_digits

from trainables import load_model

NUM_PICTURES = 20


def main(model_folder: str) -> None:
    """Print the likeliest classes of the last digits, and how many are right."""
    images, labels = load_digits(return_X_y=True)
    pictures = np.floor(images * 255 / 16 + 0.5).astype(np.uint8).reshape(-1, 8, 8)[-NUM_PICTURES:]

    model = load_model(model_folder)
    answers = model.predict(list(pictures))

    num_right = 0
    for label, answer in zip(labels[-NUM_PICTURES:], answers, strict=True):
        likeliest = ", ".join(f"{name} ({probability:.1%})" for name, probability in answer.likeliest(2))
        print(f"a {label}: {likeliest}")
        num_right += answer.class_name == str(label)
    print(f"{num_right} of {NUM_PICTURES} are right; most of these digits were among the training's")


if __name__ == "__main__":
    main(sys.argv[1])
