"""Synthetic phonocardiograms with known heart sounds, for tests and the demonstration, never as data.

A cycle of length T has its second sound 0.3 sqrt(T) s after the first, as systole shortens less than diastole when the
heart is fast. Sounds are Gaussian-windowed tones, murmurs band-limited noise in systole; breathing modulates rate and
loudness, and noise falls with frequency.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from data_pipelines.readers.sound_file import Sound

RATE = 4000
"""Sample rate in Hz."""


@dataclass(frozen=True)
class HeartSound:
    """A synthetic recording with its ground truth."""

    sound: Sound
    first_sounds_s: np.ndarray
    """Centre of each S1 in seconds."""


def generate_heart_sound(
    generator: np.random.Generator,
    *,
    duration_s: float,
    beats_per_min: float,
    murmur: float = 0.0,
    snr_db: float = 20.0,
) -> HeartSound:
    """Generate a recording.

    `murmur` is its loudness relative to the heart sounds, 0 for none.
    """
    beats = _beat_times(generator, duration_s, beats_per_min)
    systole = 0.3 * np.sqrt(np.diff(beats))
    beats = beats[:-1]
    times = np.arange(round(duration_s * RATE)) / RATE
    samples = np.zeros_like(times)
    pitch = generator.uniform(0.85, 1.15)
    second_loudness = generator.uniform(0.5, 0.9)
    for beat, length in zip(beats, systole, strict=True):
        breath = 1 + 0.2 * np.sin(2 * np.pi * 0.25 * beat)
        _add_tone(samples, times, beat, 45 * pitch, 0.022, breath)
        _add_tone(samples, times, beat, 90 * pitch, 0.014, 0.4 * breath)
        _add_tone(samples, times, beat + length, 65 * pitch, 0.014, second_loudness * breath)
    if murmur:
        samples += murmur * _murmur(generator, times, beats, systole)
    samples += _noise(generator, len(times), samples.std() * 10 ** (-snr_db / 20))
    is_inside = (beats > 0.05) & (beats < duration_s - 0.05)
    return HeartSound(Sound(0.5 * samples / np.abs(samples).max(), RATE), beats[is_inside])


def _beat_times(generator: np.random.Generator, duration_s: float, beats_per_min: float) -> np.ndarray:
    """Return beat times from before the recording until after it; breathing changes the rate by a twentieth."""
    period = 60 / beats_per_min
    times = [-generator.uniform(0, period)]
    while times[-1] <= duration_s + 2 * period:
        breath = 1 + 0.05 * np.sin(2 * np.pi * 0.25 * times[-1])
        times.append(times[-1] + period * breath * (1 + 0.01 * generator.standard_normal()))
    return np.array(times)


def _add_tone(
    samples: np.ndarray, times: np.ndarray, centre: float, frequency: float, width: float, loudness: float
) -> None:
    first, last = np.searchsorted(times, [centre - 5 * width, centre + 5 * width])
    distance = times[first:last] - centre
    samples[first:last] += loudness * np.exp(-0.5 * (distance / width) ** 2) * np.cos(2 * np.pi * frequency * distance)


def _murmur(generator: np.random.Generator, times: np.ndarray, beats: np.ndarray, systole: np.ndarray) -> np.ndarray:
    """Generate noise from 120 to 320 Hz that swells and fades between the two sounds."""
    sections = signal.butter(3, (120, 320), "bandpass", fs=RATE, output="sos")
    noise = np.asarray(signal.sosfilt(sections, generator.standard_normal(len(times))))
    shape = np.zeros_like(times)
    for beat, length in zip(beats, systole, strict=True):
        share = (times - beat - 0.04) / max(length - 0.06, 0.02)
        shape = np.maximum(shape, np.where((share > 0) & (share < 1), np.sin(np.pi * np.clip(share, 0, 1)), 0))
    return shape * noise / noise.std()


def _noise(generator: np.random.Generator, count: int, deviation: float) -> np.ndarray:
    """Generate noise whose power falls as one over the frequency."""
    spectrum = np.fft.rfft(generator.standard_normal(count))
    frequencies = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 5.0)
    noise = np.fft.irfft(spectrum / np.sqrt(frequencies), count)
    return deviation * noise / noise.std()
