"""Settings of drawing samples and of log-likelihoods, and what they mean for a model."""

import re
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import Field, StrictInt, StrictStr, ValidationError, model_validator

from data_pipelines.contract.did_you_mean import suggest
from trainables.contract.predictor import PredictionOptions
from trainables.workloads.flow_matching.config import CALLS_PER_STEP, FlowMatchingConfig, Sampling, Solver

DEFAULT_NUM_SAMPLES = 16
_OF_SAMPLES = ("num_per_class", "num_samples", "guidance", "interpolate", "steps_between", "batch_size")
_OF_LIKELIHOODS = ("divergence", "num_probes")


class FlowOptions(PredictionOptions):
    """Settings of samples (without `--input`) and of log-likelihoods (of the pictures in `--input`)."""

    num_per_class: int | None = Field(default=None, ge=1, le=1_000_000)
    """Samples of each class; by default 16."""
    classes: tuple[StrictStr | StrictInt, ...] | None = Field(default=None, min_length=1)
    """Names of classes, or numbers from 0; by default all. With `--input`: classes for which each picture's likelihood
    is computed; by default that without a class."""
    num_samples: int | None = Field(default=None, ge=1, le=1_000_000)
    """Samples in all, of a model without labels or with `--guidance 0`; by default 16."""
    seed: int = Field(default=0, ge=0)
    """The noise of a sample follows from it, from the class and from the number of the sample."""
    solver: Solver | None = None
    """By default that of the training's evaluations, as with `nfe`, `tolerance` and `guidance`; for likelihoods
    dopri5."""
    nfe: int | None = Field(default=None, ge=1, le=100_000)
    """Evaluations of the right-hand side; none for dopri5."""
    tolerance: float | None = Field(default=None, ge=1e-9, lt=1)
    """Of dopri5."""
    guidance: float | None = Field(default=None, ge=0)
    """Weight of classifier-free guidance; 1 means none, 0 that labels are ignored."""
    batch_size: int = Field(default=16, ge=1, le=4096)
    """Samples that are drawn at a time. Batches are always full, so that a sample does not depend on their number."""
    interpolate: tuple[int, int] | None = None
    """Numbers of two samples, joined by comma: draws a strip from the one to the other in place of samples."""
    steps_between: int = Field(default=6, ge=1, le=1000)
    """Pictures between these two."""
    divergence: Literal["exact", "hutchinson"] = "hutchinson"
    """For likelihoods: exact costs one pass through the network for every value of a picture."""
    num_probes: int = Field(default=8, ge=1, le=10_000)
    """Random directions of hutchinson; from two on there is a standard error."""

    @model_validator(mode="after")
    def _ends_differ(self) -> Self:
        if self.interpolate is not None and (self.interpolate[0] == self.interpolate[1] or min(self.interpolate) < 0):
            raise ValueError("`interpolate` needs the numbers of two samples, from 0 on, such as 0,1")
        return self


def refuse_unused(options: FlowOptions, *, has_input: bool) -> None:
    """Raise ValueError for an option that is given and would not be used."""
    others = _OF_SAMPLES if has_input else _OF_LIKELIHOODS
    name = next((name for name in others if name in options.model_fields_set), None)
    if name is not None:
        what = "samples, which are drawn without --input" if has_input else "likelihoods of pictures, given as --input"
        raise ValueError(f"--{name.replace('_', '-')} is for {what}; leave it out")


def sample_settings(config: FlowMatchingConfig, options: FlowOptions) -> Sampling:
    """Return solver and guidance of samples. Raises ValueError for what does not fit together or was not trained."""
    guidance = config.evaluation.sampling.guidance if options.guidance is None else options.guidance
    if config.only_guidance is not None and guidance != config.only_guidance:
        what = "no label" if config.only_guidance == 0 else "the null class of guidance never"
        raise ValueError(f"--guidance {guidance:g}: the model learnt {what}; give --guidance {config.only_guidance:g}")
    return _solver_settings(config.evaluation.sampling, options, guidance)


def likelihood_settings(options: FlowOptions, *, has_label: bool) -> Sampling:
    """Return the solver of likelihoods, which are without guidance: the classes' own, or that without a class."""
    return _solver_settings(Sampling(solver="dopri5", nfe=None), options, guidance=float(has_label))


def _solver_settings(default: Sampling, options: FlowOptions, guidance: float) -> Sampling:
    solver = options.solver or default.solver
    nfe = options.nfe
    if nfe is None and solver in CALLS_PER_STEP:
        nfe = default.nfe
        if nfe is None:
            raise ValueError(f"--solver {solver} needs --nfe, its evaluations, a multiple of {CALLS_PER_STEP[solver]}")
    tolerance = default.tolerance if options.tolerance is None else options.tolerance
    if options.tolerance is not None and solver != "dopri5":
        raise ValueError(f"--tolerance is of dopri5 only, and the solver is {solver}; leave it out")
    shift = default.shift if solver in CALLS_PER_STEP else 1.0
    try:
        return Sampling(solver=solver, nfe=nfe, tolerance=tolerance, guidance=guidance, shift=shift)
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def choose_classes(names: Sequence[str], classes: Sequence[str | int] | None) -> list[int]:
    """Return the numbers of classes given by name or number; all for None. Raises ValueError for an unknown one."""
    if classes is None:
        return list(range(len(names)))
    chosen: list[int] = []
    for given in classes:
        if str(given) in names:
            chosen.append(list(names).index(str(given)))
        elif re.fullmatch(r"[0-9]+", str(given)) and int(given) < len(names):
            chosen.append(int(given))
        else:
            raise ValueError(
                f"{given!r} is no class of the model; {suggest(str(given), names)}; or a number from 0 to "
                f"{len(names) - 1}"
            )
    return list(dict.fromkeys(chosen))


def choose_conditions(config: FlowMatchingConfig, names: Sequence[str], options: FlowOptions) -> list[int | None]:
    """Return the classes that likelihoods are conditional on; None is without a class.

    Raises ValueError for what the model was not trained for, and for an unknown class.
    """
    if options.classes is None and config.only_guidance == 1:
        raise ValueError(
            "the model was trained with classes alone, so it knows no likelihood without one; give --classes"
        )
    if options.classes is not None and config.only_guidance == 0:
        raise ValueError("--classes: the model learnt no label; leave it out")
    return [None] if options.classes is None else [*choose_classes(names, options.classes)]
