"""Log-likelihood of one 8-bit picture under a trained flow, in bits per dimension."""

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from trainables.contract.seeding import seeded_generator
from trainables.workloads.flow_matching.flow.guidance import GuidedVelocity
from trainables.workloads.flow_matching.flow.likelihood import compute_log_density, draw_probes
from trainables.workloads.flow_matching.pixels import dequantise, to_bits_per_dim
from trainables.workloads.flow_matching.prediction_options import FlowOptions, likelihood_settings


@dataclass(frozen=True)
class Likelihood:
    """Log-likelihood of one picture."""

    class_name: str | None
    """The class that it is conditional on; None: without a class."""
    bits_per_dim: float
    log_density: float
    """log p of the dequantised picture in -1..1, in nats."""
    standard_error: float | None
    """Of `bits_per_dim`, over Hutchinson's probes; None when exact, or with a single probe."""
    nfe: int
    """Evaluations of the velocity."""


def compute_likelihood(
    module: nn.Module,
    pixels: UInt8[Tensor, "channels height width"],
    name: str,
    options: FlowOptions,
    *,
    class_names: list[str],
    label: int | None,
) -> Likelihood:
    """Compute the log-likelihood of a picture.

    It is that of the probability-flow ODE (see `flow/likelihood.py`) for one dequantisation of the picture: uniform
    noise as wide as a grey level, which follows from the seed and the name, as the probes do. On average over this
    noise bits per dimension are an upper bound of those of the 8-bit picture.

    Args:
        module: The network, in eval mode.
        pixels: The picture, on the CPU.
        name: Name of the picture.
        options: Solver, divergence and seed.
        class_names: Classes of the model.
        label: The class that the likelihood is conditional on; None: without a class.
    """
    device = next(module.parameters()).device
    null_label = len(class_names)
    sampling = likelihood_settings(options, has_label=label is not None)

    def velocity(t: Tensor, x: Tensor) -> Tensor:
        labels = torch.full((len(x),), null_label if label is None else label, device=device)
        return GuidedVelocity(module, labels, null_label, sampling.guidance)(t, x)

    with torch.inference_mode(False), torch.no_grad():
        image = dequantise(pixels.clone(), seeded_generator(options.seed, f"dequantisation of {name}")).to(device)
        probes = None
        if options.divergence == "hutchinson":
            generator = seeded_generator(options.seed, f"probes of {name}")
            probes = draw_probes(options.num_probes, tuple(pixels.shape), generator).to(device)
        found = compute_log_density(velocity, image, sampling, probes)
    estimates = to_bits_per_dim(found.estimates, pixels.numel())
    return Likelihood(
        class_name=None if label is None else class_names[label],
        bits_per_dim=float(estimates.mean()),
        log_density=float(found.estimates.mean()),
        standard_error=float(estimates.std() / len(estimates) ** 0.5) if len(estimates) > 1 else None,
        nfe=found.nfe,
    )
