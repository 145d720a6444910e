"""Heart sounds: the scan against the plain loop, and the segmenter against known beats.

python -m benchmarks.heart_sounds [--repeats 5]

The plain loop is what autograd makes of one step after the other. The segmenter is measured on made-up recordings of
10 s: first heart sounds found within 60 ms, finds that are one, and the mean error of those.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from data_pipelines.heart_generator import generate_heart_sound
from data_pipelines.heart_segmentation import find_first_sounds
from data_pipelines.heart_signal import preprocess
from trainables.workloads.heart_sound.scan import linear_recurrence, scan_plainly

LENGTH, STATE = 250, 16
SIZES = ((1, 64), (1, 512), (8, 512))
TOLERANCE_S = 0.06
RATE = 5000
NUM_RECORDINGS = 15
CASES = ((0.0, 20), (0.4, 20), (0.0, 10))
"""Loudness of the murmur, and signal-to-noise ratio in decibels."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(f"scan at length {LENGTH}, forward and backward, medians of {options.repeats}")
    print("| batch x channels x states | plain loop | ours | times faster | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for batch, inner in SIZES:
        print(measure_scan(batch, inner, options.repeats), flush=True)
    print("\n| beats per minute | murmur | SNR | found | right | mean error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for beats_per_min in (50, 75, 100, 130, 160, 190):
        for murmur, snr_db in CASES:
            print(measure_segmenter(beats_per_min, murmur, snr_db), flush=True)


def measure_scan(batch: int, inner: int, repeats: int) -> str:
    """One row of the first table."""
    generator = torch.Generator().manual_seed(0)
    decay = torch.rand(batch, LENGTH, inner, STATE, generator=generator).requires_grad_()
    update = torch.randn(batch, LENGTH, inner, STATE, generator=generator).requires_grad_()
    plain, ours = (_time(function, decay, update, repeats) for function in (scan_plainly, linear_recurrence))
    with torch.no_grad():
        difference = float((scan_plainly(decay, update) - linear_recurrence(decay, update)).abs().max())
    size = f"{batch} x {inner} x {STATE}"
    return f"| {size} | {1e3 * plain:.1f} ms | {1e3 * ours:.1f} ms | {plain / ours:.1f} | {difference:.1e} |"


def _time(function: Callable, decay: torch.Tensor, update: torch.Tensor, repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        function(decay, update).sum().backward()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def measure_segmenter(beats_per_min: float, murmur: float, snr_db: float) -> str:
    """One row of the second table."""
    num_hits = num_beats = num_finds = num_right = 0
    errors: list[float] = []
    for seed in range(NUM_RECORDINGS):
        made = generate_heart_sound(
            np.random.default_rng(seed), duration_s=10, beats_per_min=beats_per_min, murmur=murmur, snr_db=snr_db
        )
        found = find_first_sounds(preprocess(made.sound, rate=RATE, band_hz=(25, 400)), RATE)
        distances = np.abs(found[:, None] - made.first_sounds_s)
        nearest = distances.min(axis=0)
        num_hits, num_beats = num_hits + int((nearest < TOLERANCE_S).sum()), num_beats + len(nearest)
        num_right, num_finds = num_right + int((distances.min(axis=1) < TOLERANCE_S).sum()), num_finds + len(found)
        errors += nearest[nearest < TOLERANCE_S].tolist()
    error = f"{1e3 * statistics.fmean(errors):.1f} ms" if errors else "-"
    shares = f"{100 * num_hits / num_beats:.1f} % | {100 * num_right / num_finds:.1f} %"
    return f"| {beats_per_min} | {murmur:g} | {snr_db} dB | {shares} | {error} |"


if __name__ == "__main__":
    main()
