"""Samples of a trained flow, and log-likelihoods of new pictures under it."""

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from data_pipelines.readers.any_image import to_picture
from data_pipelines.readers.bad_file import printable
from data_pipelines.readers.image_file import IMAGE_SUFFIXES, fit_image
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.storage.folder import Folder
from trainables.contract.input_files import find_input_files
from trainables.contract.prediction import Input, Prediction, Row
from trainables.contract.predictor import Predictor, SavedModel
from trainables.pictures.picture_grid import encode_png
from trainables.workloads.flow_matching.config import FlowMatchingConfig
from trainables.workloads.flow_matching.picture_likelihood import Likelihood, compute_likelihood
from trainables.workloads.flow_matching.prediction_options import FlowOptions, choose_conditions, refuse_unused
from trainables.workloads.flow_matching.sample_batches import find_batches, group_of
from trainables.workloads.flow_matching.sampler import Sample, Sampler, Strip, draw_sample_grid, draw_strip

_log = logging.getLogger(__name__)


class FlowMatchingPredictor(Predictor[FlowOptions]):
    """Without input a source of samples; with pictures, their log-likelihoods."""

    options_class = FlowOptions
    suffixes = IMAGE_SUFFIXES
    needs_input = False

    def __init__(self, task: Any, model: SavedModel, options: FlowOptions, device: torch.device) -> None:
        """Keep the task."""
        super().__init__(task, model, options, device)
        spec = model.data_spec
        self._config, self._names = _config_of(model), _class_names(model)
        self._shape = ImageShape(spec["channels"], spec["height"], spec["width"])

    @classmethod
    def find_inputs(cls, model: SavedModel, source: Folder | None, options: Any) -> list[Input]:
        """Return batches of samples without a source, else the pictures. Raises ValueError for wrong options."""
        refuse_unused(options, has_input=source is not None)
        if source is None:
            return find_batches(_config_of(model), _class_names(model), options)
        choose_conditions(_config_of(model), _class_names(model), options)
        return find_input_files(source, cls.suffixes)

    @classmethod
    def summarise(
        cls, model: SavedModel, rows: Sequence[Row], options: Any, results: Folder
    ) -> Mapping[str, Sequence[Row] | bytes]:
        """Return `grid.png`, the first samples of each class."""
        samples = [row for row in rows if "index" in row]
        return {"grid.png": draw_sample_grid(samples, results)} if samples else {}

    def predict_input(self, item: Input) -> Prediction:
        """Draw a batch of samples or a strip, or compute the likelihoods of a picture."""
        if item.root is not None:
            with item.open() as file:
                return Prediction([_row_of(each) for each in self._likelihoods(item.name, to_picture(file))])
        seed = self.options.seed
        if self.options.interpolate is not None:
            strip, file = self._sampler.draw_strip(item), f"{item.name}.png"
            first, last = item.indices
            row = {"class": strip.class_name, "first": first, "last": last, "seed": seed, "nfe": strip.nfe}
            return Prediction([row | {"file": file}], {file: draw_strip(strip.images)})
        samples = {f"{group_of(item)}/{each.index:06d}.png": each for each in self._sampler.draw(item)}
        rows = [
            {"class": each.class_name, "index": each.index, "seed": seed, "nfe": each.nfe, "file": file}
            for file, each in samples.items()
        ]
        return Prediction(rows, {file: encode_png(each.image) for file, each in samples.items()})

    def generate(
        self,
        *,
        classes: Sequence[str | int] | None = None,
        num_per_class: int | None = None,
        num_samples: int | None = None,
        seed: int | None = None,
    ) -> list[Sample]:
        """Draw samples; what is not given is as in the options of the model.

        `classes` are names or numbers; of each `num_per_class` samples are drawn. `num_samples` is their number in all,
        of a model without labels or with guidance 0.

        Raises:
            ValueError: An unknown class, or numbers that do not fit the model.
        """
        given = {"classes": classes, "num_per_class": num_per_class, "num_samples": num_samples, "seed": seed}
        options = self._change_options({"interpolate": None} | given)
        sampler = self._build_sampler(options)
        return [sample for batch in find_batches(self._config, self._names, options) for sample in sampler.draw(batch)]

    def interpolate(
        self,
        first: int,
        last: int,
        *,
        classes: Sequence[str | int] | None = None,
        steps_between: int | None = None,
    ) -> list[Strip]:
        """Draw the pictures on the way from one sample of a class to another of it; returns a strip for each class.

        `first` and `last` are numbers of samples, and `classes` names or numbers. By default `classes` and
        `steps_between`, the pictures between the two, are those of the options.
        """
        given = {"interpolate": (first, last), "classes": classes, "steps_between": steps_between}
        options = self._change_options(given)
        sampler = self._build_sampler(options)
        return [sampler.draw_strip(batch) for batch in find_batches(self._config, self._names, options)]

    def log_likelihood(self, pictures: Sequence[Any]) -> list[list[Likelihood]]:
        """Compute log-likelihoods of 8-bit pictures, in bits per dimension.

        Pictures are paths, PIL images, arrays [height, width, channels] or tensors [channels, height, width]. The
        dequantisation of a picture follows from the name of its file, or from its place.

        Returns:
            For each picture the likelihoods under the option `classes`, or one without a class.

        Raises:
            ValueError: Something is no picture, or the model knows no likelihood of this kind.
        """
        found: list[list[Likelihood]] = []
        for place, picture in enumerate(pictures):
            name = Path(picture).name if isinstance(picture, str | Path) else f"picture_{place}"
            found.append(self._likelihoods(name, to_picture(picture)))
        return found

    def _likelihoods(self, name: str, picture: Image.Image) -> list[Likelihood]:
        if picture.size != (self._shape.width, self._shape.height):
            _log.warning(
                "%s: is %dx%d and resized to the training's %dx%d; the likelihood is that of the resized picture",
                *(printable(name), *picture.size, self._shape.width, self._shape.height),
            )
        pixels = torch.from_numpy(np.array(fit_image(picture, self._shape)))
        return [
            compute_likelihood(self.task.module, pixels, name, self.options, class_names=self._names, label=label)
            for label in choose_conditions(self._config, self._names, self.options)
        ]

    @cached_property
    def _sampler(self) -> Sampler:
        return self._build_sampler(self.options)

    def _build_sampler(self, options: FlowOptions) -> Sampler:
        return Sampler(self.task.module, self._config, options, class_names=self._names, shape=self._shape)

    def _change_options(self, given: Mapping[str, Any]) -> FlowOptions:
        before = self.options.model_dump(exclude_unset=True)
        return FlowOptions.model_validate(
            before | {name: value for name, value in given.items() if value is not None or name == "interpolate"}
        )


def _row_of(likelihood: Likelihood) -> Row:
    row: dict[str, Any] = {} if likelihood.class_name is None else {"class": likelihood.class_name}
    row |= {"bits_per_dim": likelihood.bits_per_dim, "log_density": likelihood.log_density}
    if likelihood.standard_error is not None:
        row["standard_error"] = likelihood.standard_error
    return row | {"nfe": likelihood.nfe}


def _config_of(model: SavedModel) -> FlowMatchingConfig:
    assert isinstance(model.workload, FlowMatchingConfig)
    return model.workload


def _class_names(model: SavedModel) -> list[str]:
    return [str(name) for name in model.data_spec["class_names"]]
