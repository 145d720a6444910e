"""Verdicts on new recordings of heart sounds by a fine-tuned model."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field

from data_pipelines.contract.config import FilePath
from data_pipelines.heart_sounds.analysis import Analysis, analyse
from data_pipelines.heart_sounds.config import HeartData
from data_pipelines.heart_sounds.pipeline import PREPROCESSING, HeartPipeline
from data_pipelines.heart_sounds.recordings import Recording
from data_pipelines.heart_sounds.signal.quality import LEAST_ALIKE
from data_pipelines.heart_sounds.single_recordings import array_recording, file_recording
from data_pipelines.heart_sounds.tasks import HeartTask
from data_pipelines.readers.sound_file import SOUND_SUFFIXES
from data_pipelines.storage.folder import Folder
from trainables.contract.prediction import Input, Prediction, Row
from trainables.contract.predictor import PredictionOptions, Predictor, SavedModel
from trainables.workloads.heart_sound.finetune.aggregation import pool, separate, softmax, weigh_by_attention
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, argmax_rule, decide, read_rule
from trainables.workloads.heart_sound.finetune.inference.answers import (
    CycleAnswer,
    PatientAnswer,
    RecordingAnswer,
    patient_row,
    pool_recordings,
    probability_columns,
    summarise_patients,
)
from trainables.workloads.heart_sound.finetune.inference.challenge_files import challenge_files, refuse_other_task
from trainables.workloads.heart_sound.finetune.inference.recording_inputs import describe_recordings, find_recordings
from trainables.workloads.heart_sound.finetune.inference.recording_picture import draw_recording

BATCH = 256
"""Cycles that are classified at a time."""


class HeartSoundOptions(PredictionOptions):
    """Settings of a prediction."""

    patients: FilePath | None = None
    """A CSV with the columns `file` and `subject`; without it recordings that are called like those of CirCor are of
    the patient in their name, and any other one is a patient of its own."""
    challenge_output: bool = False
    """Write also the files that the challenge's own scoring program reads, in the folder `challenge`."""
    pictures: bool = False
    """Write a picture of each recording, with the cycles found and the probabilities of each, in `pictures`."""
    min_quality: float = Field(default=LEAST_ALIKE, ge=-1, le=1)
    """Signal quality below which a recording counts as noise and gets no verdict; -1 judges any; recordings with
    annotated cycles are always judged."""


class HeartSoundPredictor(Predictor[HeartSoundOptions]):
    """Verdicts on recordings, by the preprocessing that the model was trained with.

    A verdict is that of a research model: it replaces no examination.
    """

    options_class = HeartSoundOptions
    suffixes = SOUND_SUFFIXES
    page_options = {"pictures": True}

    @classmethod
    def find_inputs(cls, model: SavedModel, source: Folder | None, options: HeartSoundOptions) -> list[Input]:
        """Return the recordings; see `find_recordings`. Raises ValueError for files of no challenge."""
        if options.challenge_output:
            refuse_other_task(_config_of(model).task)
        return find_recordings(source, options.patients)

    def predict_input(self, item: Input) -> Prediction:
        """Return a row, and the picture; a recording that cannot be judged has a row with the reason."""
        with item.open() as file:
            analysis, answer = self._judge(file_recording(file, item.companions), item.name, item.group)
        pictures = {f"pictures/{item.name}.png": draw_recording(analysis, answer)} if self.options.pictures else {}
        return Prediction([_row_of(answer, self._classes)], pictures)

    @torch.inference_mode()
    def predict(self, recordings: Sequence[Any]) -> list[RecordingAnswer]:
        """Judge recordings; returns an answer for each, in their order.

        Recordings are paths, beside which annotated states are used as in a folder, or pairs of samples, [count] or
        [count, channels], and their sample rate in Hz.

        Raises:
            ValueError: Something is no recording.
            BadFileError: A file is damaged.
        """
        return [self._judge(*each)[1] for each in _described(recordings)]

    def pool(self, answers: Sequence[RecordingAnswer], patient: str = "") -> PatientAnswer:
        """Return the answer for one patient from those of all recordings, by the model's pooling."""
        found = [each.probabilities for each in answers]
        name = patient or (answers[0].patient if answers else "")
        how = _config_of(self.model).pooling.recordings
        return pool_recordings(name, found, self._heart_task, rule_of(self.model), how)

    @classmethod
    def summarise(
        cls, model: SavedModel, rows: Sequence[Row], options: HeartSoundOptions, results: Folder
    ) -> Mapping[str, Sequence[Row] | bytes]:
        """Return `patients.csv`, and the files of the challenge."""
        config = _config_of(model)
        patients = summarise_patients(rows, config.heart_task, rule_of(model), config.pooling.recordings)
        tables = {"patients.csv": [patient_row(each, config.heart_task.classes) for each in patients]}
        return tables | (challenge_files(config.task, rows, patients) if options.challenge_output else {})

    @property
    def _heart_task(self) -> HeartTask:
        return _config_of(self.model).heart_task

    @property
    def _classes(self) -> tuple[str, ...]:
        return self._heart_task.classes

    def _judge(self, recording: Recording, name: str, patient: str) -> tuple[Analysis, RecordingAnswer]:
        data = preprocessing_of(self.model)
        found = analyse(recording, data, least_alike=self.options.min_quality)
        answer, pooled, by_cycle, weights = None, {}, [{} for _ in found.parts], [None] * len(found.parts)
        if found.fault is None:
            logits, scores = separate(self._classify(found, data), len(self._classes))
            how, one = _config_of(self.model).pooling.cycles, np.zeros(len(logits), np.int64)
            probabilities = softmax(pool(logits, one, how, self._heart_task.positive, scores)[1])
            weights = weights if scores is None else weigh_by_attention(scores, one).tolist()
            answer = self._classes[int(decide(probabilities, self._heart_task, rule_of(self.model))[0])]
            pooled, by_cycle = self._named(probabilities)[0], self._named(softmax(logits))
        times = [(start / found.rate, end / found.rate) for start, end in found.parts]
        return found, RecordingAnswer(
            name=name,
            patient=patient,
            answer=answer,
            probabilities=pooled,
            reason=found.fault,
            cycles=tuple(
                CycleAnswer(*time, each, weight) for time, each, weight in zip(times, by_cycle, weights, strict=True)
            ),
            duration_s=found.duration_s,
            heart_rate_bpm=found.heart_rate_bpm,
            signal_quality=found.quality,
            clipped_ratio=found.clipped_ratio,
            is_annotated=found.is_annotated,
        )

    def _classify(self, found: Analysis, data: HeartData) -> np.ndarray:
        """Return the logits of each cycle, and with attention its score, float64 [cycles, outputs]."""
        pipeline = HeartPipeline(data, _config_of(self.model).task)
        signal = pipeline.collate(pipeline.decode(found.stored))["signal"]
        outputs = [self.task.module(part.to(self.device)).double().cpu() for part in signal.split(BATCH)]
        return torch.cat(outputs).numpy()

    def _named(self, probabilities: np.ndarray) -> list[dict[str, float]]:
        return [dict(zip(self._classes, row, strict=True)) for row in probabilities.tolist()]


def preprocessing_of(model: SavedModel) -> HeartData:
    """Return the settings by which the model's recordings were prepared and cut, without any data set."""
    data = _config_of(model).data
    known = data.model_dump(include={*PREPROCESSING, "hop_s", "synthetic"})
    return HeartData.model_validate(known | model.data_spec.get("preprocessing", {}))


def rule_of(model: SavedModel) -> DecisionRule:
    """Return the decision rule that the model keeps; argmax where its training's settings say so."""
    config = _config_of(model)
    is_learnt = config.decision.rule == "learnt"
    return read_rule(model.learnt, config.heart_task) if is_learnt else argmax_rule(config.heart_task)


def _config_of(model: SavedModel) -> FinetuneConfig:
    assert isinstance(model.workload, FinetuneConfig)
    return model.workload


def _described(recordings: Sequence[Any]) -> Iterator[tuple[Recording, str, str]]:
    """Yield each recording with its name and patient."""
    paths = [Path(each) for each in recordings if isinstance(each, str | Path)]
    described = iter(describe_recordings(paths))
    for number, each in enumerate(recordings, start=1):
        if isinstance(each, str | Path):
            item = next(described)
            yield file_recording(Path(each), item.companions), str(each), item.group
        elif isinstance(each, tuple | list) and len(each) == 2:
            name = f"recording {number}"
            yield array_recording(name, *each), name, name
        else:
            raise ValueError(
                f"recording {number} is a {type(each).__name__}; expected a path, or (samples, sample rate)"
            )


def _row_of(answer: RecordingAnswer, classes: Sequence[str]) -> dict[str, Any]:
    rate = answer.heart_rate_bpm
    return {
        "patient": answer.patient,
        "answer": answer.answer,
        **probability_columns(answer.probabilities, classes),
        "num_cycles": len(answer.cycles),
        "duration_s": round(answer.duration_s, 3),
        "heart_rate_bpm": None if rate is None else round(rate, 1),
        "signal_quality": round(answer.signal_quality, 3),
        "clipped_ratio": round(answer.clipped_ratio, 4),
        "is_annotated": answer.is_annotated,
        "reason": answer.reason,
    }
