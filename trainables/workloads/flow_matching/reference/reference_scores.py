"""Reference scores: measures the real images' features and the trivial generator's scores."""

from dataclasses import asdict
from functools import partial

import torch

from trainables.contract.seeding import seeded_generator
from trainables.contract.train_context import StartContext
from trainables.metrics.generative.frechet import Gaussian, RunningMoments
from trainables.workloads.flow_matching.config import Evaluation
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.reference.pixel_statistics import PixelMoments
from trainables.workloads.flow_matching.reference.reference_statistics import RealData
from trainables.workloads.flow_matching.reference.scoring import Extractor, Scorer, Scores, deal_chunks


@torch.no_grad()
def resolve_reference(real: RealData, extractor: Extractor, settings: Evaluation, start: StartContext) -> None:
    """Fill in the feature moments and the baseline of `real` for one extractor. A collective.

    Each is computed once for a data set.

    Args:
        real: Statistics of the real images.
        extractor: The feature network.
        settings: Number of samples and batch size of the baseline.
        start: Batches, collectives and cache.
    """
    name, num_samples = extractor.name, settings.num_samples
    device = start.device.type
    if name not in real.gaussians:
        key = {"real": real.fingerprint(name), "device": device}
        known = start.cached(f"{name}_moments", key, lambda: _measure(extractor, start).state_dict())
        real.gaussians[name] = Gaussian.from_state_dict(known)
    pixels = real.pixels
    if pixels is not None and real.baseline(name, num_samples) is None:
        key = {
            "real": real.fingerprint(name),
            "device": device,
            "num_samples": num_samples,
            "batch_size": settings.batch_size,
            "seed": start.seed,
        }
        score = partial(_score_trivial, pixels, real.gaussians[name], extractor, settings, start)
        known = start.cached(f"{name}_baseline", key, lambda: asdict(score()))
        real.keep_baseline(name, num_samples, Scores(**known))


def _measure(extractor: Extractor, start: StartContext) -> Gaussian:
    """Compute the moments of the training split, each row once over all ranks."""
    moments = RunningMoments(extractor.feature_dim, start.device)
    for batch in start.batches("train"):
        moments.add(extractor.forward(to_uint8(batch["image"]))[0])
    return moments.over_ranks(start.collectives.sum).gaussian()


def _score_trivial(
    pixels: PixelMoments, real: Gaussian, extractor: Extractor, settings: Evaluation, start: StartContext
) -> Scores:
    """Score the trivial generator with as many samples as an evaluation, in the same chunks.

    The distance falls with the number of samples.
    """
    scorer = Scorer(extractor, start.collectives, start.device)
    for chunk in deal_chunks(settings.num_samples, settings.batch_size, start.collectives):
        generator = seeded_generator(start.seed, "trivial generator", chunk.index)
        scorer.add(pixels.sample(chunk.stop - chunk.start, generator=generator), chunk)
    return scorer.compute(real)
