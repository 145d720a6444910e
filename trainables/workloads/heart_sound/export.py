"""What both stages of heart sounds say of their networks for an export: signals, preprocessing, data."""

from collections.abc import Mapping
from typing import Any

from data_pipelines.heart_sounds.config import HeartData
from trainables.contract.export import BATCH, GraphInput

LIMITS = (
    "It was trained for research and is no medical device: nothing it says is a diagnosis.",
    "Other stethoscopes, body sites, ages and noise than those of the training data may change its answers.",
)


def describe_signal(num_samples: int) -> GraphInput:
    """Describe the input of both networks."""
    return GraphInput("signal", (BATCH, num_samples), "one heart cycle or window each, made as `preprocessing` says")


def describe_preprocessing(data: HeartData) -> dict[str, Any]:
    """Return how a signal is made from a sound file; the steps are those of the training's data."""
    low, high = data.band_hz
    parts = {
        "cycle": "the recording is cut at the beginnings of its heart cycles (S1 to S1), windows of 0.8 s where no "
        "beat is found",
        "window": f"the recording is cut into windows of {data.window_s:g} s",
    }
    return {
        "sample_rate": data.sample_rate,
        "band_hz": [low, high],
        "unit": data.unit,
        "num_samples": data.num_samples,
        "steps": [
            f"one channel, resampled to {data.sample_rate} Hz by a polyphase filter",
            f"Butterworth band-pass of order 4 from {low:g} to {high:g} Hz, forwards and backwards (no phase shift)",
            "mean 0 and variance 1 over the complete recording",
            parts[data.unit],
            f"each part interpolated linearly to {data.num_samples} values, from its first sample to its last; its "
            "values are not normalised again",
        ],
    }


def describe_data(data_spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data spec with the numbers of subjects in place of their names, which stay private."""
    private = ("subjects", "patients", "recordings", "outcomes", "groups")
    elsewhere = ("class_names", "preprocessing", "num_samples")
    public = {name: value for name, value in data_spec.items() if name not in (*private, *elsewhere)}
    return {**public, "num_subjects": {split: len(names) for split, names in data_spec["subjects"].items()}}
