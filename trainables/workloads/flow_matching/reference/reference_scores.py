"""Reference scores: measures the real images' features and the trivial generator's scores."""

from dataclasses import asdict
from functools import partial

import torch

from trainables.contract.train_context import StartContext
from trainables.metrics.generative.frechet import Gaussian, RunningMoments
from trainables.workloads.flow_matching.config import Evaluation
from trainables.workloads.flow_matching.flow.guidance import draw_noise
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.reference.pixel_statistics import PixelMoments
from trainables.workloads.flow_matching.reference.real_features import MAX_ROWS, RealFeatures, measure_real_features
from trainables.workloads.flow_matching.reference.reference_statistics import RealData
from trainables.workloads.flow_matching.reference.scoring import Extractor, Scorer, Scores, deal_chunks


@torch.no_grad()
def resolve_reference(real: RealData, extractor: Extractor, settings: Evaluation, start: StartContext) -> None:
    """Fill in what `real` lacks for one extractor: feature moments, features and the baseline. A collective.

    Each is computed once for a data set.
    """
    name, num_samples = extractor.name, settings.num_samples
    device = start.device.type
    if name not in real.gaussians:
        key = {"real": real.fingerprint(name), "device": device}
        known = start.cached(f"{name}_moments", key, lambda: _measure(extractor, start).state_dict())
        real.gaussians[name] = Gaussian.from_state_dict(known)
    if settings.metric == "all" and name not in real.features:
        key = {"real": real.fingerprint(name), "device": device, "rows": MAX_ROWS}
        known = start.cached(f"{name}_features", key, lambda: measure_real_features(extractor, start).state_dict())
        real.features[name] = RealFeatures.from_state_dict(known)
    if real.pixels is None or has_baseline(real, name, settings):
        return
    key = {
        "real": real.fingerprint(name),
        "device": device,
        "num_samples": num_samples,
        "seed": start.seed,
        "noise": "by sample",
        **({"metric": "all"} if settings.metric == "all" else {}),
    }
    score = partial(_score_trivial, real.pixels, real, extractor, settings, start)
    known = start.cached(f"{name}_baseline", key, lambda: asdict(score()))
    real.keep_baseline(name, num_samples, Scores(**known))


def has_baseline(real: RealData, extractor: str, settings: Evaluation) -> bool:
    """Return whether the trivial generator has the scores that are evaluated."""
    known = real.baseline(extractor, settings.num_samples)
    return known is not None and (settings.metric != "all" or known.kid is not None)


def _measure(extractor: Extractor, start: StartContext) -> Gaussian:
    """Compute the moments of the training split, each row once over all ranks."""
    moments = RunningMoments(extractor.feature_dim, start.device)
    for batch in start.batches("train"):
        moments.add(extractor.forward(to_uint8(batch["image"]))[0])
    return moments.over_ranks(start.collectives.sum).gaussian()


def _score_trivial(
    pixels: PixelMoments, real: RealData, extractor: Extractor, settings: Evaluation, start: StartContext
) -> Scores:
    """Score the trivial generator with as many samples as an evaluation, as the distance falls with their number."""
    scorer = Scorer(extractor, start.collectives, start.device, num_kept=real.num_kept(extractor.name, settings))
    shape = tuple(pixels.mean.shape)
    for chunk in deal_chunks(settings.num_samples, settings.batch_size, start.collectives):
        noise = draw_noise("trivial generator", chunk, seed=start.seed, shape=shape)
        scorer.add(pixels.sample(noise), chunk)
    return scorer.compute(real.gaussians[extractor.name], real.rows_for(extractor.name, settings))
