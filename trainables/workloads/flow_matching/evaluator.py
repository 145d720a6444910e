"""Evaluator of generated samples: generates them over all ranks and compares them with the training images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.panels import ImagePanel, zoom_of
from trainables.contract.seeding import seeded_generator
from trainables.contract.train_context import Collectives
from trainables.workloads.flow_matching import config
from trainables.workloads.flow_matching.eval_labels import choose_labels
from trainables.workloads.flow_matching.flow.guidance import Samples, generate
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.reference.reference_statistics import RealData
from trainables.workloads.flow_matching.reference.scoring import Chunk, Extractor, Scorer, Scores, deal_chunks

NUM_SHOWN = 80
"""Most pictures in `eval/sample_images`."""


@dataclass
class _Tally:
    """Sums over this rank's samples."""

    nfe_ode: int = 0
    nfe_net: int = 0
    num_nonfinite: int = 0
    """Samples with a value that is not finite."""
    first_images: list[Tensor] = field(default_factory=list)


class SampleEvaluator(Evaluator[Mapping[str, Any]]):
    """Evaluator of `num_samples` samples; noise and labels depend on the seed alone, not on the number of ranks.

    Its reference is resolved before (`resolve_reference`), so it needs no rows.
    """

    def __init__(
        self,
        settings: config.Evaluation,
        real: RealData,
        extractor: Extractor,
        *,
        class_names: Sequence[str],
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

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Generate and score, with the trivial generator's scores as baselines; a collective.

        `eval/nfe_ode` and `eval/nfe_net` are means over the samples, as dopri5's steps differ between chunks.
        Raises FloatingPointError on all ranks when a sample holds a value that is not finite.
        """
        scorer = Scorer(self._extractor, self._collectives, self._device)
        tally = self._generate_all(module, scorer)
        metrics = self._mean_cost(tally)
        real, name = self._real.gaussians[self._extractor.name], self._extractor.name
        metrics |= name_scores(scorer.compute(real), name, self._settings.metric)
        baseline = self._real.baseline(name, self._settings.num_samples)
        if baseline is not None:
            scores = name_scores(baseline, name, self._settings.metric)
            metrics |= {f"baseline/{key}": value for key, value in scores.items()}
        return EvaluationResult(metrics=metrics, panels=[self._panel(tally)])

    def _generate_all(self, module: nn.Module, scorer: Scorer) -> _Tally:
        tally = _Tally()
        for chunk in deal_chunks(self._settings.num_samples, self._settings.batch_size, self._collectives):
            samples = self._generate(module, chunk)
            is_finite = samples.images.isfinite().flatten(1).all(dim=1)
            images = to_uint8(samples.images.nan_to_num())
            scorer.add(images, chunk)
            tally.nfe_ode += samples.nfe_ode * len(images)
            tally.nfe_net += samples.nfe_net * len(images)
            tally.num_nonfinite += int((~is_finite).sum())
            if chunk.index == 0:
                tally.first_images.append(images[:NUM_SHOWN].cpu())
        return tally

    def _generate(self, module: nn.Module, chunk: Chunk) -> Samples:
        label = self._labels[chunk.start : chunk.stop].to(self._device)
        noise = draw_noise(self._real.shape, len(label), self._seed, chunk.index).to(self._device)
        null_label = len(self._class_names)
        return generate(module, noise, label, null_label=null_label, sampling=self._settings.sampling)

    def _mean_cost(self, tally: _Tally) -> dict[str, float]:
        sums = torch.tensor([tally.nfe_ode, tally.nfe_net, tally.num_nonfinite], dtype=torch.float64)
        nfe_ode, nfe_net, num_nonfinite = self._collectives.sum(sums.to(self._device)).tolist()
        num_samples = self._settings.num_samples
        if num_nonfinite:
            raise FloatingPointError(
                f"{num_nonfinite:.0f} of {num_samples} generated images are not finite "
                f"(solver {self._settings.sampling.solver}, guidance {self._settings.sampling.guidance:g})"
            )
        return {"eval/nfe_ode": nfe_ode / num_samples, "eval/nfe_net": nfe_net / num_samples}

    def _panel(self, tally: _Tally) -> ImagePanel:
        """Draw the first samples, which rank 0 has generated; a collective."""
        images = self._collectives.broadcast(tally.first_images[0] if tally.first_images else None)
        captions = [self._class_names[int(label)] for label in self._labels[: len(images)]]
        return ImagePanel("eval/sample_images", images, captions, columns=10, zoom=zoom_of(images))


def draw_noise(
    shape: tuple[int, int, int], num_samples: int, seed: int, chunk_index: int
) -> Float[Tensor, "batch channels height width"]:
    """Draw the noise x_0 of one chunk of an evaluation, on the CPU."""
    return torch.randn(num_samples, *shape, generator=seeded_generator(seed, "evaluation noise", chunk_index))


def name_scores(scores: Scores, extractor: str, metric: Literal["fid", "is", "both"]) -> dict[str, float]:
    """Return scores by metric name.

    Args:
        scores: The scores.
        extractor: `inception` gets the published names, any other `local` in the name.
        metric: Which of the scores to return.
    """
    is_local = extractor != "inception"
    infix = "_local" if is_local else ""
    named: dict[str, float] = {}
    if metric != "is":
        named["eval/fid_local" if is_local else "eval/fid_score"] = scores.fid
    if metric != "fid":
        named[f"eval/inception_score{infix}_mean"] = scores.inception_score_mean
        named[f"eval/inception_score{infix}_std"] = scores.inception_score_std
    return named
