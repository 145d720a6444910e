"""Samples to draw: which there are, in batches."""

from collections.abc import Sequence

from trainables.contract.prediction import Input
from trainables.workloads.flow_matching.config import FlowMatchingConfig
from trainables.workloads.flow_matching.prediction_options import (
    DEFAULT_NUM_SAMPLES,
    FlowOptions,
    choose_classes,
    sample_settings,
)

WITHOUT_CLASS = "samples"
"""The group of samples that are of no class."""


def find_batches(config: FlowMatchingConfig, class_names: Sequence[str], options: FlowOptions) -> list[Input]:
    """List the batches of all samples, or the strips between two samples, one input each.

    Raises:
        ValueError: Options that do not fit the model.
    """
    groups, num_samples = _find_groups(config, class_names, options)
    if options.interpolate is not None:
        first, last = options.interpolate
        return [Input(f"{group}/from_{first}_to_{last}", indices=(first, last)) for group in groups]
    size = options.batch_size
    batches = [range(first, min(first + size, num_samples)) for first in range(0, num_samples, size)]
    return [
        Input(f"{group}/{batch[0]:06d}-{batch[-1]:06d}", indices=tuple(batch)) for group in groups for batch in batches
    ]


def group_of(batch: Input) -> str:
    """Return the class of a batch, or `WITHOUT_CLASS`."""
    return batch.name.rpartition("/")[0]


def _find_groups(config: FlowMatchingConfig, class_names: Sequence[str], options: FlowOptions) -> tuple[list[str], int]:
    """Return the classes, and the samples of each."""
    if sample_settings(config, options).guidance == 0:
        for name in ("classes", "num_per_class"):
            if getattr(options, name) is not None:
                raise ValueError(
                    f"--{name.replace('_', '-')}: with guidance 0 samples are of no class; give --num-samples"
                )
        return [WITHOUT_CLASS], options.num_samples or DEFAULT_NUM_SAMPLES
    if options.num_samples is not None:
        raise ValueError("--num-samples is for samples of no class (--guidance 0); give --num-per-class")
    chosen = choose_classes(class_names, options.classes)
    return [class_names[number] for number in chosen], options.num_per_class or DEFAULT_NUM_SAMPLES
