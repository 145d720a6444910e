"""Scoring of generated images by their features, in chunks that do not depend on the number of ranks."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from trainables.contract.seeding import seeded_generator
from trainables.contract.train_context import Collectives
from trainables.metrics.generative.frechet import Gaussian, RunningMoments, compute_frechet_distance
from trainables.metrics.generative.inception_score import compute_inception_score
from trainables.metrics.generative.kernel_distance import compute_kernel_distance
from trainables.metrics.generative.precision_recall import compute_precision_recall

NUM_SPLITS = 10
"""Splits of the inception score, as published."""
Metric = Literal["fid", "is", "both", "all"]
_MORE = ("kid", "precision", "recall")


@dataclass(frozen=True)
class Extractor:
    """A feature network on its device, in eval mode."""

    name: str
    """`local`, or `inception` for the published features."""
    feature_dim: int
    num_classes: int
    forward: Callable[[Tensor], tuple[Tensor, Tensor]]
    """uint8 images to features and logits."""


@dataclass(frozen=True)
class Halves:
    """Scores of one random half of the training images of each class against the other, as of a perfect generator."""

    fid: float
    kid: float
    kid_std: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Scores:
    """Scores of one set of images."""

    fid: float
    inception_score_mean: float
    inception_score_std: float
    kid: float | None = None
    """With those below it None, unless real features are at hand."""
    kid_std: float | None = None
    precision: float | None = None
    recall: float | None = None
    fid_test: float | None = None
    """The distance to the test images; None where there are none, or they are not read."""


def deal_chunks(num_samples: int, chunk_size: int, collectives: Collectives) -> Iterator[range]:
    """Yield this rank's chunks of samples, every world_size-th; together the ranks' chunks hold each sample once."""
    for start in range(collectives.rank * chunk_size, num_samples, collectives.world_size * chunk_size):
        yield range(start, min(start + chunk_size, num_samples))


class Scorer:
    """Collector of the features of generated images; `compute` is a collective."""

    def __init__(
        self, extractor: Extractor, collectives: Collectives, device: torch.device, *, num_kept: int = 0
    ) -> None:
        """Begin without images; the features of the first `num_kept` samples are kept for `compute`."""
        self._extractor = extractor
        self._collectives = collectives
        self._device = device
        self._num_kept = num_kept
        self._moments = RunningMoments(extractor.feature_dim, device)
        self._features = [torch.zeros(0, extractor.feature_dim, device=device)]
        self._logits = [torch.zeros(0, extractor.num_classes, device=device)]
        self._positions = [torch.zeros(0, dtype=torch.int64, device=device)]

    def add(self, images: UInt8[Tensor, "batch channels height width"], chunk: range) -> None:
        """Add the images of one chunk."""
        features, logits = self._extractor.forward(images.to(self._device))
        self._moments.add(features)
        self._features.append(features[: max(0, self._num_kept - chunk.start)].float())
        self._logits.append(logits.float())
        self._positions.append(torch.arange(chunk.start, chunk.stop, device=self._device))

    def compute(
        self, real: Gaussian, real_rows: Float[Tensor, "rows dim"] | None = None, test: Gaussian | None = None
    ) -> Scores:
        """Compute scores over all ranks' images, equal for every number of ranks up to the order of float64 sums.

        The logits are put into the order of the samples, as the splits of the inception score depend on it. `real` and
        `test` are moments of the features of real and of test images; `real_rows` are real features, for the scores
        that need more than their moments.
        """
        generated = self._moments.over_ranks(self._collectives.sum).gaussian()
        logits = self._collectives.gather(torch.cat(self._logits))
        positions = self._collectives.gather(torch.cat(self._positions))
        inception = compute_inception_score(logits[positions.argsort()], min(NUM_SPLITS, len(logits)))
        compared = {} if real_rows is None else compare_rows(real_rows, self._kept_rows())
        return Scores(
            fid=compute_frechet_distance(generated, real),
            inception_score_mean=inception.mean,
            inception_score_std=inception.std,
            fid_test=None if test is None else compute_frechet_distance(generated, test),
            **compared,
        )

    def _kept_rows(self) -> Float[Tensor, "rows dim"]:
        """Return the kept features of all ranks, in the order of the samples."""
        own = torch.cat(self._positions)
        rows = self._collectives.gather(torch.cat(self._features))
        positions = self._collectives.gather(own[own < self._num_kept])
        return rows[positions.argsort()]


def compare_rows(real: Float[Tensor, "rows dim"], generated: Float[Tensor, "others dim"]) -> dict[str, float]:
    """Compute `kid`, `kid_std`, `precision` and `recall`, of as many rows of one set as of the other."""
    count = min(len(real), len(generated))
    real, generated = real[:count].to(generated.device), generated[:count]
    kernel = compute_kernel_distance(real, generated, generator=seeded_generator(0, "subsets of the kernel distance"))
    shares = compute_precision_recall(real, generated)
    return {"kid": kernel.mean, "kid_std": kernel.std, **asdict(shares)}


def name_scores(scores: Scores, extractor: str, metric: Metric) -> dict[str, float]:
    """Return scores by metric name.

    The scores by `inception` get the published names, those by any other extractor `local` in the name; `metric` is
    which of them to return.
    """
    is_local = extractor != "inception"
    infix = "_local" if is_local else ""
    named: dict[str, float] = {}
    if metric != "is":
        named[distance_name(extractor)] = scores.fid
    if metric != "fid":
        named[f"eval/inception_score{infix}_mean"] = scores.inception_score_mean
        named[f"eval/inception_score{infix}_std"] = scores.inception_score_std
    if metric == "all":
        named |= {f"eval/{name}{infix}": getattr(scores, name) for name in _MORE}
        named[f"eval/kid{infix}_std"] = scores.kid_std or 0.0
        if scores.fid_test is not None:
            named[f"{distance_name(extractor)}_test"] = scores.fid_test
    return named


def name_halves(halves: Halves, extractor: str) -> dict[str, float]:
    """Return the scores between two halves of the real images, each named after the score it is compared with."""
    infix = "_local" if extractor != "inception" else ""
    named = {f"eval/{name}{infix}_halves": getattr(halves, name) for name in _MORE}
    return {f"{distance_name(extractor)}_halves": halves.fid, **named}


def distance_name(extractor: str) -> str:
    """Return the name of the Frechet distance."""
    return "eval/fid_score" if extractor == "inception" else "eval/fid_local"
