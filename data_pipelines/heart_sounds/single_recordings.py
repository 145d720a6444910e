"""Recordings by themselves, outside of a data set: files with what lies beside them, and arrays."""

import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from data_pipelines.heart_sounds.datasets.circor import read_states
from data_pipelines.heart_sounds.datasets.circor_patients import Patient
from data_pipelines.heart_sounds.datasets.physionet2016 import read_record
from data_pipelines.heart_sounds.recordings import Recording, no_states
from data_pipelines.readers.sound_file import Sound, read_sound

CIRCOR_NAME = re.compile(r"(\d+)_(?:AV|PV|TV|MV|Phc)(?:_\d+)?", re.IGNORECASE)
"""Stem of a recording of CirCor: `13918_AV`, `50782_MV_1`; its group is the patient."""
_PHYSIONET_NAME = re.compile(r"[a-f]\d{4,5}", re.IGNORECASE)
COMPANION_SUFFIXES = (".tsv", ".txt", ".hea", ".dat")


def find_companions(file: str, names: Collection[str], patient: Patient | None) -> tuple[str, ...]:
    """Return the names of the files that a recording is read with, as the data sets' own readers do.

    A recording of CirCor has its states in a `.tsv`, and one of PhysioNet 2016 a header, and perhaps a `.dat`. `names`
    are all files in its folder, and `patient` is the content of the patient's text file, if one lists the recording.
    """
    stem = Path(file).stem
    if _PHYSIONET_NAME.fullmatch(stem):
        return tuple(name for name in (f"{stem}.hea", f"{stem}.dat") if name in names)
    listed = {wav.lower(): tsv for wav, tsv in patient.recordings} if patient else {}
    states = listed.get(file.lower(), f"{stem}.tsv")
    return (states,) if states is not None and states in names else ()


def file_recording(path: Path, companions: Collection[str]) -> Recording:
    """Return a sound file as a recording, which is read on demand; `companions` are names in its folder."""
    beside = {Path(name).suffix.lower(): path.with_name(name) for name in companions}
    header, states = beside.get(".hea"), beside.get(".tsv")
    return Recording(
        name=path.stem,
        subject=path.stem,
        database="folder",
        labels={},
        stratum="",
        read=partial(read_record, path, header) if header else partial(read_sound, path),
        read_states=partial(read_states, states) if states else no_states,
        files=(path,),
    )


def array_recording(name: str, samples: Any, rate: Any) -> Recording:
    """Return an array as a recording.

    `samples` are numbers of any size, [count] or [count, channels], of which the mean is used; `rate` is a whole number
    of Hz.

    Raises:
        ValueError: Another shape or type, a number that is not finite, no samples, or an unusable rate.
    """
    array = np.asarray(samples.detach().cpu() if hasattr(samples, "detach") else samples)
    is_number = np.issubdtype(array.dtype, np.integer) or np.issubdtype(array.dtype, np.floating)
    if not is_number or array.ndim not in (1, 2) or not array.size:
        raise ValueError(
            f"{name}: is {array.dtype} {list(array.shape)}; expected numbers, [count] or [count, channels]"
        )
    if array.ndim == 2 and array.shape[0] < array.shape[1]:
        raise ValueError(f"{name}: has the shape {list(array.shape)}; expected [count, channels], so transpose it")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {int((~np.isfinite(array)).sum())} of its samples are no finite number; mend them")
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.number) or rate != int(rate) or rate <= 0:
        raise ValueError(f"{name}: the sample rate is {rate!r}; expected a whole number of Hz")
    mixed = array.astype(np.float64) if array.ndim == 1 else array.mean(axis=1, dtype=np.float64)
    sound = Sound(mixed, int(rate))
    return Recording(
        name=name, subject=name, database="array", labels={}, stratum="", read=lambda: sound, files=(Path(name),)
    )
