"""Log-likelihoods of 8-bit pictures under a trained flow, in bits per dimension, and their mean over test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from trainables.contract.seeding import seeded_generator
from trainables.contract.train_context import Collectives
from trainables.workloads.flow_matching.flow.guidance import GuidedVelocity
from trainables.workloads.flow_matching.flow.likelihood import compute_log_density, draw_probes
from trainables.workloads.flow_matching.pixels import dequantise, to_bits_per_dim
from trainables.workloads.flow_matching.prediction_options import FlowOptions, likelihood_settings
from trainables.workloads.flow_matching.reference.reservoir import RowSampler, hash_content


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
    noise bits per dimension are an upper bound of those of the 8-bit picture. `module` is in eval mode, and `pixels`
    are on the CPU. The likelihood is conditional on the class `label`, if given.
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


class SplitLikelihood:
    """Collector of the images of a split, and the likelihoods of some of them.

    Which images, and their dequantisation, follow from their content: not from their order or the number of ranks.
    """

    def __init__(
        self,
        num_images: int,
        *,
        shape: tuple[int, int, int],
        class_names: Sequence[str],
        uses_labels: bool,
        seed: int,
        collectives: Collectives,
        device: torch.device,
    ) -> None:
        """Begin without images.

        Likelihoods of `num_images` images are computed, fewer when the split has fewer; with `uses_labels` they are
        conditional on the class of the image. `seed` is that of dequantisation and probes.
        """
        no_images = torch.zeros(0, *shape, dtype=torch.uint8, device=device)
        self._rows = RowSampler(no_images, no_images.new_zeros(0, dtype=torch.int64), size=num_images)
        self._names, self._uses_labels = list(class_names), uses_labels
        self._options, self._collectives, self._device = FlowOptions(seed=seed), collectives, device

    def add(self, images: UInt8[Tensor, "batch channels height width"], labels: Int[Tensor, " batch"]) -> None:
        """Offer images."""
        self._rows.add(hash_content(images, labels), images, labels)

    def compute(self, module: nn.Module) -> dict[str, float]:
        """Compute `eval/bits_per_dim`, a mean over the images, and its standard error over them; a collective.

        Raises ValueError for a split without images.
        """
        hashes, images, labels = self._rows.gather(self._collectives)
        if not len(hashes):
            raise ValueError("there are no test images for `evaluation.num_likelihoods`; set it to 0")
        sums = torch.zeros(2, dtype=torch.float64)
        for place in range(self._collectives.rank, len(hashes), self._collectives.world_size):
            found = compute_likelihood(
                module,
                images[place].cpu(),
                str(int(hashes[place])),
                self._options,
                class_names=self._names,
                label=int(labels[place]) if self._uses_labels else None,
            )
            sums += torch.tensor([found.bits_per_dim, found.bits_per_dim**2], dtype=torch.float64)
        total, squares = self._collectives.sum(sums.to(self._device)).tolist()
        count = len(hashes)
        mean = total / count
        metrics = {"eval/bits_per_dim": mean}
        if count > 1:
            metrics["eval/bits_per_dim_se"] = (max(0.0, squares / count - mean**2) / (count - 1)) ** 0.5
        return metrics
