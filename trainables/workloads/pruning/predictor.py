"""Classes of new pictures by a trained or pruned network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import Field

from data_pipelines.readers.any_image import to_picture
from data_pipelines.readers.image_file import IMAGE_SUFFIXES, fit_image
from data_pipelines.readers.image_shape import ImageShape
from trainables.contract.prediction import Input, Prediction
from trainables.contract.predictor import PredictionOptions, Predictor


class PruningOptions(PredictionOptions):
    """Settings of a classification."""

    top_k: int = Field(default=1, ge=1)
    """Number of the likeliest classes that get a column each, with their probabilities; all classes have one of
    theirs."""


@dataclass(frozen=True)
class ClassAnswer:
    """The answer for one picture."""

    class_name: str
    """The likeliest class."""
    probabilities: dict[str, float]
    """Of every class; they add up to 1."""

    def likeliest(self, count: int) -> list[tuple[str, float]]:
        """Return the likeliest classes with their probabilities, the first first."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[:count]


class PruningPredictor(Predictor[PruningOptions]):
    """Classification of pictures, which are resized to cover the training's size and cropped at the centre."""

    options_class = PruningOptions
    suffixes = IMAGE_SUFFIXES

    def predict_input(self, item: Input) -> Prediction:
        """Return a row: the class and all probabilities."""
        with item.open() as file:
            answer = self.predict([file])[0]
        row: dict[str, Any] = {"class": answer.class_name}
        for place, (name, probability) in enumerate(answer.likeliest(self.options.top_k)[1:], start=2):
            row |= {f"class_{place}": name, f"probability_{place}": probability}
        return Prediction([row | {f"p({name})": value for name, value in answer.probabilities.items()}])

    @torch.inference_mode()
    def predict(self, pictures: Sequence[Any]) -> list[ClassAnswer]:
        """Classify pictures; returns an answer for each.

        Pictures are paths, PIL images, arrays [height, width, channels] or tensors [channels, height, width].

        Raises:
            ValueError: Something is no picture.
        """
        spec = self.model.data_spec
        shape = ImageShape(spec["channels"], spec["height"], spec["width"])
        answers: list[ClassAnswer] = []
        for picture in pictures:
            pixels = torch.from_numpy(np.array(fit_image(to_picture(picture), shape)))
            logits = self.task.module(pixels[None].to(self.device)).double()[0]
            values = logits.softmax(dim=0).tolist()
            names = [str(name) for name in spec["class_names"]]
            answers.append(ClassAnswer(names[int(logits.argmax())], dict(zip(names, values, strict=True))))
        return answers
