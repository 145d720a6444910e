"""Mean log-likelihood of test images under the flow, in bits per dimension, over all ranks."""

from collections.abc import Sequence

import torch
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from trainables.contract.train_context import Collectives
from trainables.workloads.flow_matching.picture_likelihood import compute_likelihood
from trainables.workloads.flow_matching.prediction_options import FlowOptions
from trainables.workloads.flow_matching.reference.reservoir import RowSampler, hash_content


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

        Args:
            num_images: Images whose likelihoods are computed; fewer when the split has fewer.
            shape: Of an image.
            class_names: Classes of the model.
            uses_labels: Whether likelihoods are conditional on the class of the image.
            seed: Seed of dequantisation and probes.
            collectives: Those of this rank.
            device: Device of the images.
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
