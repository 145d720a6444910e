"""Evaluator of generated samples: generates them over all ranks and compares them with the training images."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.panels import ImagePanel, zoom_of
from trainables.contract.seeding import seeded_generator
from trainables.contract.train_context import Collectives
from trainables.metrics.generative.frechet import Gaussian, RunningMoments, compute_frechet_distance
from trainables.workloads.flow_matching.config import Evaluation, Sampling
from trainables.workloads.flow_matching.flow.guidance import Samples, draw_noise, generate
from trainables.workloads.flow_matching.picture_likelihood import SplitLikelihood
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.plots import draw_curve
from trainables.workloads.flow_matching.reference.reference_statistics import RealData
from trainables.workloads.flow_matching.reference.scoring import (
    Extractor,
    Scorer,
    deal_chunks,
    distance_name,
    name_halves,
    name_scores,
)

logger = logging.getLogger(__name__)
MAX_ROWS, MAX_COLUMNS = 10, 8
"""Most classes that are shown, and most samples of each."""


@dataclass
class _Tally:
    """Sums over this rank's samples."""

    nfe_ode: int = 0
    nfe_net: int = 0
    num_nonfinite: int = 0
    """Samples with a value that is not finite."""
    shown: list[Tensor] = field(default_factory=list)
    """Images to show, and in `positions` their numbers."""
    positions: list[Tensor] = field(default_factory=list)


class SampleEvaluator(Evaluator[Mapping[str, Any]]):
    """Evaluator of `num_samples` samples, each with noise and label of its number and the seed.

    Its reference is resolved before (`resolve_reference`), so it needs rows of the test split alone: for likelihoods,
    and for the distance to them.
    """

    def __init__(
        self,
        settings: Evaluation,
        real: RealData,
        extractor: Extractor,
        *,
        class_names: Sequence[str],
        uses_labels: bool,
        has_test_images: bool,
        seed: int,
        collectives: Collectives,
        device: torch.device,
    ) -> None:
        self._settings = settings
        self._real = real
        self._extractor = extractor
        self._class_names = class_names
        self._seed = seed
        self._collectives = collectives
        self._device = device
        self._labels = choose_labels(settings.num_samples, real.class_ratios(), seed)
        self._shown = choose_shown(self._labels)
        self._test: RunningMoments | None = None
        if settings.metric == "all" and has_test_images:
            self.split = "test"
            self._test = RunningMoments(extractor.feature_dim, device)
        self._likelihood: SplitLikelihood | None = None
        if settings.num_likelihoods:
            self.split = "test"
            self._likelihood = SplitLikelihood(
                settings.num_likelihoods,
                shape=real.shape,
                class_names=class_names,
                uses_labels=uses_labels,
                seed=seed,
                collectives=collectives,
                device=device,
            )

    def update(self, module: nn.Module, batch: Mapping[str, Any]) -> None:
        """Take the test images of a batch."""
        images = to_uint8(batch["image"])
        if self._test is not None:
            self._test.add(self._extractor.forward(images)[0])
        if self._likelihood is not None:
            self._likelihood.add(images, batch["label"])

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Generate and score, with the trivial generator's scores as baselines; a collective.

        `eval/nfe_ode` and `eval/nfe_net` are means over the samples, as dopri5's steps differ between batches.
        Raises FloatingPointError on all ranks when a sample holds a value that is not finite.
        """
        settings, name = self._settings, self._extractor.name
        test = self._summarise_test()
        metrics, tally = self._score(module, settings.sampling, test)
        panels = [self._draw_shown(tally)]
        curve: dict[int, dict[str, float]] = {}
        for nfe in sorted(set(settings.nfe_curve)):
            is_known = nfe == settings.sampling.nfe
            sampling = settings.sampling.model_copy(update={"nfe": nfe})
            curve[nfe] = dict(metrics) if is_known else self._score(module, sampling, test)[0]
        metrics |= {
            f"{key}/nfe_{nfe}": value
            for nfe, scores in curve.items()
            for key, value in scores.items()
            if not key.startswith("eval/nfe_")
        }
        baseline = self._real.baseline(name, settings.num_samples)
        if baseline is not None:
            scores = name_scores(baseline, name, settings.metric)
            metrics |= {f"baseline/{key}": value for key, value in scores.items()}
        if settings.metric == "all":
            metrics |= name_halves(self._real.features[name].halves, name)
        if test is not None:
            # as of a generator that repeats the training images
            metrics[f"{distance_name(name)}_train_test"] = compute_frechet_distance(self._real.gaussians[name], test)
        if self._likelihood is not None:
            metrics |= self._likelihood.compute(module)
        return EvaluationResult(metrics, [*panels, *draw_curve(curve, settings.sampling.solver)])

    def _summarise_test(self) -> Gaussian | None:
        """Return the moments of the test images' features, None below two images; a collective."""
        if self._test is None:
            return None
        moments = self._test.over_ranks(self._collectives.sum)
        if moments.count >= 2:
            return moments.gaussian()
        logger.warning("the distance to the test images is left out: there are %d of them", int(moments.count))
        return None

    def _score(self, module: nn.Module, sampling: Sampling, test: Gaussian | None) -> tuple[dict[str, float], _Tally]:
        """Return the scores and costs of all samples; a collective."""
        settings, name = self._settings, self._extractor.name
        kept = self._real.num_kept(name, settings)
        scorer = Scorer(self._extractor, self._collectives, self._device, num_kept=kept)
        tally = self._generate_all(module, scorer, sampling)
        metrics = self._mean_cost(tally, sampling)
        scores = scorer.compute(self._real.gaussians[name], self._real.rows_for(name, settings), test)
        return metrics | name_scores(scores, name, settings.metric), tally

    def _generate_all(self, module: nn.Module, scorer: Scorer, sampling: Sampling) -> _Tally:
        tally = _Tally()
        for chunk in deal_chunks(self._settings.num_samples, self._settings.batch_size, self._collectives):
            samples = self._generate(module, chunk, sampling)
            is_finite = samples.images.isfinite().flatten(1).all(dim=1)
            images = to_uint8(samples.images.nan_to_num())
            scorer.add(images, chunk)
            tally.nfe_ode += samples.nfe_ode * len(images)
            tally.nfe_net += samples.nfe_net * len(images)
            tally.num_nonfinite += int((~is_finite).sum())
            within = self._shown[(self._shown >= chunk.start) & (self._shown < chunk.stop)].to(self._device)
            tally.shown.append(images[within - chunk.start])
            tally.positions.append(within)
        return tally

    def _generate(self, module: nn.Module, chunk: range, sampling: Sampling) -> Samples:
        label = self._labels[chunk.start : chunk.stop].to(self._device)
        noise = draw_noise("evaluation noise", chunk, seed=self._seed, shape=self._real.shape)
        null_label = len(self._class_names)
        return generate(module, noise.to(self._device), label, null_label=null_label, sampling=sampling)

    def _mean_cost(self, tally: _Tally, sampling: Sampling) -> dict[str, float]:
        sums = torch.tensor([tally.nfe_ode, tally.nfe_net, tally.num_nonfinite], dtype=torch.float64)
        nfe_ode, nfe_net, num_nonfinite = self._collectives.sum(sums.to(self._device)).tolist()
        num_samples = self._settings.num_samples
        if num_nonfinite:
            raise FloatingPointError(
                f"{num_nonfinite:.0f} of {num_samples} generated images are not finite "
                f"(solver {sampling.solver}, guidance {sampling.guidance:g})"
            )
        return {"eval/nfe_ode": nfe_ode / num_samples, "eval/nfe_net": nfe_net / num_samples}

    def _draw_shown(self, tally: _Tally) -> ImagePanel:
        """Draw the chosen samples of all ranks, a row for each class; a collective."""
        none = torch.zeros(0, *self._real.shape, dtype=torch.uint8, device=self._device)
        images = self._collectives.gather(torch.cat([none, *tally.shown]))
        positions = self._collectives.gather(torch.cat([none.new_zeros(0, dtype=torch.int64), *tally.positions]))
        place_of = {number: place for place, number in enumerate(positions.tolist())}
        images = images[[place_of[number] for number in self._shown.tolist()]].cpu()
        captions = [self._class_names[int(label)] for label in self._labels[self._shown]]
        rows = list(dict.fromkeys(captions))
        columns = len(captions) // len(rows)
        return ImagePanel("eval/sample_images", images, captions, columns=columns, zoom=zoom_of(images), row_names=rows)


def choose_labels(num_samples: int, class_ratios: Sequence[float], seed: int) -> Int64[Tensor, " samples"]:
    """Return labels with the class frequencies of the training split, in a random order fixed by `seed`.

    The Frechet distance and the inception score compare mixtures over all classes, so another mixture than the real
    one would count against a perfect generator. Counts are exact up to rounding (largest remainder).
    """
    wanted = torch.tensor(class_ratios, dtype=torch.float64) * num_samples
    counts = wanted.floor().long()
    num_missing = num_samples - int(counts.sum())
    counts[(counts - wanted).argsort(stable=True)[:num_missing]] += 1
    labels = torch.arange(len(counts)).repeat_interleave(counts)
    return labels[torch.randperm(num_samples, generator=seeded_generator(seed, "evaluation labels"))]


def choose_shown(labels: Int64[Tensor, " samples"]) -> Int64[Tensor, " shown"]:
    """Return the numbers of the first samples of each class, as many of each, class by class."""
    classes = labels.unique(sorted=True)[:MAX_ROWS]
    places = [(labels == each).nonzero().flatten() for each in classes]
    columns = min(MAX_COLUMNS, min(len(each) for each in places))
    return torch.cat([each[:columns] for each in places])
