"""Judge synthetic heart sounds with a fine-tuned model: `python heart_sound.py MODEL`.

Real recordings are judged in the same way: `model.predict(["ward/first.wav", "ward/second.wav"])`.
"""

import sys

import numpy as np

from data_pipelines.heart_sounds.datasets.synthetic import RATE, generate_heart_sound
from trainables import load_model


def main(model_folder: str) -> None:
    """Print the verdicts on a quiet heart and on one with a loud murmur, and on noise, which gets none."""
    random = np.random.default_rng(0)
    quiet, loud = (
        generate_heart_sound(random, duration_s=8, beats_per_min=72, murmur=murmur).sound.samples
        for murmur in (0.0, 0.4)
    )
    noise = random.normal(size=8 * RATE)

    model = load_model(model_folder)
    answers = model.predict([(samples, RATE) for samples in (quiet, loud, noise)])

    for name, answer in zip(("without a murmur", "with a murmur", "noise"), answers, strict=True):
        if answer.answer is None:
            print(f"synthetic recording {name}: no verdict, {answer.reason}")
            continue
        likely = ", ".join(f"{label} {probability:.1%}" for label, probability in answer.probabilities.items())
        print(f"synthetic recording {name}: {answer.answer} ({likely})")
        print(f"  {len(answer.cycles)} heart cycles, {answer.heart_rate_bpm:.0f} beats per minute")
    print("a verdict is that of a research model: it replaces no examination")


if __name__ == "__main__":
    main(sys.argv[1])
