"""Settings of the probability path between noise and images, and of the times that training draws on it."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config

_MOST_IMAGE = 0.05


class Straight(Config):
    """x_t = t x_1 + (1 - (1 - sigma_min) t) x_0 (Lipman et al. 2023, eq. 22); rectified flow without sigma_min."""

    name: Literal["straight"] = "straight"
    sigma_min: float = Field(default=0.0, ge=0, lt=1)
    """Noise that is left on the images at t = 1, for images in -1..1."""


class VariancePreserving(Config):
    """Path of a variance-preserving diffusion (Lipman et al. 2023, eq. 18): x_t = a x_1 + sqrt(1 - a^2) x_0."""

    name: Literal["variance_preserving"] = "variance_preserving"
    beta_min: float = Field(default=0.1, gt=0)
    """Rate at which noise is added to the images at t = 1, as in Ho et al. 2020 and Song et al. 2021."""
    beta_max: float = Field(default=20.0, gt=0)
    """The same at t = 0; both together decide how much of the images is left in the noise, at most 0.05 of them."""

    @model_validator(mode="after")
    def _begins_with_noise(self) -> Self:
        weight = math.exp(-(self.beta_min + self.beta_max) / 4)
        if weight > _MOST_IMAGE:
            raise ValueError(
                f"with `beta_min` {self.beta_min:g} and `beta_max` {self.beta_max:g} images have a weight of "
                f"{weight:.2f} in the noise at t = 0, where samples begin; {_MOST_IMAGE} is the most: raise `beta_max`"
            )
        return self


class Trigonometric(Config):
    """x_t = sin(pi t / 2) x_1 + cos(pi t / 2) x_0 (Albergo and Vanden-Eijnden 2023)."""

    name: Literal["trigonometric"] = "trigonometric"


class UniformTimes(Config):
    """Times drawn uniformly from 0..1."""

    name: Literal["uniform"] = "uniform"


class LogitNormalTimes(Config):
    """Times whose logit is normal, so that those in the middle are drawn more often (Esser et al. 2024, eq. 19)."""

    name: Literal["logit_normal"] = "logit_normal"
    mean: float = Field(default=0.0, ge=-10, le=10)
    """Above 0 times near the images are drawn more often, below it those near the noise."""
    std: float = Field(default=1.0, gt=0, le=10)
    """Standard deviation before the logistic function."""


AnyPath = Annotated[Straight | VariancePreserving | Trigonometric, Field(discriminator="name")]
AnyTimes = Annotated[UniformTimes | LogitNormalTimes, Field(discriminator="name")]
