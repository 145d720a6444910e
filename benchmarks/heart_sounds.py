"""Heart sounds: the scan against the plain loop, and the segmenter against known beats.

python -m benchmarks.heart_sounds [--repeats 5] [--circor FOLDER] [--physionet2016 FOLDER]

The plain loop is what autograd makes of one step after the other. The segmenter is measured on made-up recordings of
10 s: first heart sounds found within 60 ms, finds that are one, and the mean error of those; and on the recordings of
CirCor against its annotated states, where the medians of detected and annotated cycles are compared too. Of PhysioNet
2016, which has no states, cycles of less than 0.4 s are counted.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from data_pipelines.heart_sounds.datasets.circor import read_circor
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.signal.preprocessing import preprocess
from data_pipelines.heart_sounds.signal.quality import LEAST_ALIKE, compute_likeness
from data_pipelines.heart_sounds.signal.segmentation import find_cycles, find_first_sounds
from data_pipelines.readers.sound_file import Sound
from trainables.workloads.heart_sound.networks.selective_scan import linear_recurrence, scan_plainly

LENGTH, STATE = 250, 16
SIZES = ((1, 64), (1, 512), (8, 512))
TOLERANCE_S = 0.06
RATE = 5000
NUM_RECORDINGS = 15
SHORT_S = 0.4
CASES = ((0.0, 20), (0.4, 20), (0.0, 10))
"""Loudness of the murmur, and signal-to-noise ratio in decibels."""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--circor", type=Path)
    parser.add_argument("--physionet2016", type=Path)
    options = parser.parse_args()
    print(f"scan at length {LENGTH}, forward and backward, medians of {options.repeats}")
    print("| batch x channels x states | plain loop | ours | times faster | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for batch, inner in SIZES:
        print(measure_scan(batch, inner, options.repeats), flush=True)
    print("\n| beats per minute | murmur | SNR | found | right | mean error |")
    print("| --- | --- | --- | --- | --- | --- |")
    for beats_per_min in (40, 50, 75, 100, 130, 160, 175, 190, 210):
        for murmur, snr_db in CASES:
            print(measure_segmenter(beats_per_min, murmur, snr_db), flush=True)
    if options.circor:
        print(measure_annotated(options.circor))
    if options.physionet2016:
        print(count_short(options.physionet2016))


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
    finds = Finds()
    for seed in range(NUM_RECORDINGS):
        made = generate_heart_sound(
            np.random.default_rng(seed), duration_s=10, beats_per_min=beats_per_min, murmur=murmur, snr_db=snr_db
        )
        finds.add(made.sound, made.first_sounds_s)
    return f"| {beats_per_min} | {murmur:g} | {snr_db} dB | {finds} |"


def measure_annotated(folder: Path) -> str:
    """The same of all annotated stretches of CirCor."""
    finds, rates, ratios = Finds(), [], []
    for recording in read_circor(folder, None):
        states = recording.read_states()
        if states is None:
            continue
        is_first, is_annotated = states.states == 1, states.states > 0
        truth = (states.starts[is_first] + states.ends[is_first]) / 2
        rates.append(60 / float(np.median(np.diff(truth))))
        sound = recording.read()
        finds.add(sound, truth, within=(states.starts[is_annotated], states.ends[is_annotated]))
        ratios.append(find_median_cycle(sound)[0] * rates[-1] / 60)
    ratio = np.array(ratios)
    right, half = (np.abs(ratio - 1) < 0.1).mean(), (np.abs(ratio - 0.5) < 0.1).mean()
    row = f"| CirCor, {len(rates)} recordings, {min(rates):.0f} to {max(rates):.0f} | | | {finds} |"
    return f"{row}\n\nmedian cycles: {right:.1%} right to a tenth, {half:.1%} half as long"


def count_short(folder: Path) -> str:
    """How many recordings of PhysioNet 2016 have a median cycle that only a racing heart has, and of what quality."""
    recordings = read_physionet2016(folder, None)
    found = [find_median_cycle(recording.read()) for recording in recordings]
    short = [quality for period, quality in found if period < SHORT_S]
    noise = sum(quality < LEAST_ALIKE for quality in short)
    words = f"{len(short)} of {len(recordings)} recordings of PhysioNet 2016 have a median cycle below {SHORT_S:g} s"
    return f"\n{words}, {noise} of them of a quality below {LEAST_ALIKE:g}, that of noise"


def find_median_cycle(sound: Sound) -> tuple[float, float]:
    """Return the median cycle that is detected, in seconds, and how alike all are; NaN and 0 without a beat."""
    samples = preprocess(sound, rate=RATE, band_hz=(25, 400))
    starts, ends = find_cycles(samples, RATE).T
    if not len(starts):
        return float("nan"), 0.0
    return float(np.median(ends - starts)) / RATE, compute_likeness(samples, RATE, starts.tolist(), ends.tolist())


class Finds:
    """First sounds found against those that there are."""

    def __init__(self) -> None:
        self.num_beats = self.num_finds = self.num_right = 0
        self.errors: list[float] = []

    def add(self, sound: Sound, truth: np.ndarray, within: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        """`within`: starts and ends of the stretches in which every first sound is known."""
        found = find_first_sounds(preprocess(sound, rate=RATE, band_hz=(25, 400)), RATE)
        if within is not None:
            found = found[((found[:, None] >= within[0]) & (found[:, None] < within[1])).any(axis=1)]
        distances = np.abs(found[:, None] - truth)
        nearest = distances.min(axis=0, initial=np.inf)
        self.num_beats, self.num_finds = self.num_beats + len(truth), self.num_finds + len(found)
        self.num_right += int((distances.min(axis=1) < TOLERANCE_S).sum())
        self.errors += nearest[nearest < TOLERANCE_S].tolist()

    def __str__(self) -> str:
        error = f"{1e3 * statistics.fmean(self.errors):.1f} ms" if self.errors else "-"
        shares = f"{100 * len(self.errors) / self.num_beats:.1f} % | {100 * self.num_right / self.num_finds:.1f} %"
        return f"{shares} | {error}"


if __name__ == "__main__":
    main()
