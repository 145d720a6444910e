"""Small files in the real layouts of the heart-sound data sets, made by code."""

from pathlib import Path

import numpy as np
from scipy.io import wavfile

from data_pipelines.heart_sounds.datasets.synthetic import RATE, generate_heart_sound


def write_wav(path: Path, *, rate: int = RATE, duration_s: float = 3.0, seed: int = 0, channels: int = 1) -> None:
    made = generate_heart_sound(np.random.default_rng(seed), duration_s=duration_s, beats_per_min=75)
    samples = np.interp(np.arange(round(duration_s * rate)) / rate, np.arange(len(made.sound.samples)) / RATE,
                        made.sound.samples)  # fmt: skip
    data = np.round(samples * 32767).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, data if channels == 1 else np.stack([data] * channels, axis=1))


def write_circor(
    folder: Path, patients: dict[str, dict[str, str]], *, locations=("AV", "MV"), states: str | None = None
) -> None:
    """`patients` are fields by name; the states are the same for all recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, fields) in enumerate(patients.items()):
        lines = [f"{name} {len(locations)} 4000"]
        for index, location in enumerate(locations):
            stem = f"{name}_{location}"
            lines.append(f"{location} {stem}.hea {stem}.wav {stem}.tsv")
            write_wav(folder / f"{stem}.wav", seed=10 * number + index)
            if states is not None:
                (folder / f"{stem}.tsv").write_text(states)
        lines += [f"#{key}: {value}" for key, value in fields.items()]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def write_physionet(root: Path, labels: dict[str, str]) -> None:
    """`labels` are `1` or `-1` by record name."""
    for number, (name, label) in enumerate(labels.items()):
        folder = root / f"training-{name[0]}"
        write_wav(folder / f"{name}.wav", rate=2000, seed=number)
        with (folder / "REFERENCE.csv").open("a") as file:
            file.write(f"{name},{label}\n")
