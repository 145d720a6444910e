"""The picture of a recording: trace, bounds of the cycles, probabilities."""

import io

import numpy as np
from PIL import Image

from data_pipelines.heart_sounds.analysis import analyse
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.datasets.synthetic import generate_heart_sound
from data_pipelines.heart_sounds.single_recordings import array_recording
from trainables.pictures.line_charts import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP
from trainables.workloads.heart_sound.finetune.inference.answers import CycleAnswer, RecordingAnswer
from trainables.workloads.heart_sound.finetune.inference.recording_picture import WIDTH, draw_recording

CLASSES = {"Present": 0.75, "Absent": 0.25}


def draw(*, has_verdict: bool) -> np.ndarray:
    made = generate_heart_sound(np.random.default_rng(2), duration_s=10, beats_per_min=60).sound
    data = HeartData(sample_rate=1000, num_samples=128)
    found = analyse(array_recording("sound", made.samples, made.rate), data, least_alike=-1)
    cycles = tuple(CycleAnswer(float(n), n + 1.0, CLASSES if has_verdict else {}) for n in range(2, 8))
    verdict = ("Present", CLASSES, None) if has_verdict else (None, {}, "noise")
    answer = RecordingAnswer("a.wav", "a", *verdict, cycles, 10.0, 60.0, 0.8, 0.0, False)
    return np.asarray(Image.open(io.BytesIO(draw_recording(found, answer))))


def column_of(time: float) -> int:
    return round(LEFT + time / 10 * (WIDTH - LEFT - RIGHT))


def has_mark(picture: np.ndarray, time: float) -> bool:
    column = column_of(time)
    strip = picture[TOP + 5 : HEIGHT - BOTTOM - 5, column - 1 : column + 2].reshape(-1, 3).astype(int)
    reds, greens, blues = strip.T
    return bool(((reds > 200) & (reds - blues > 30) & (reds > greens)).any())  # orange, smoothed over two columns


def test_cycles_are_marked_where_they_are():
    picture = draw(has_verdict=True)
    assert picture.shape == (2 * HEIGHT, WIDTH, 3)
    assert all(has_mark(picture, time) for time in (2.0, 5.0, 8.0))
    assert not any(has_mark(picture, time) for time in (0.5, 2.5, 8.5, 9.5))


def test_probabilities_are_drawn_at_their_height():
    picture = draw(has_verdict=True)
    for colour, value in zip(COLOURS, CLASSES.values(), strict=False):
        row = round(2 * HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM))
        wanted = [int(colour[first : first + 2], 16) for first in (1, 3, 5)]
        near = picture[row - 1 : row + 2, column_of(4.5)].astype(int)
        assert (np.abs(near - wanted).max(axis=1) < 12).any()


def test_without_a_verdict_there_is_the_trace_alone():
    picture = draw(has_verdict=False)
    assert picture.shape == (HEIGHT, WIDTH, 3) and has_mark(picture, 5.0)
