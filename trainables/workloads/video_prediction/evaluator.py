"""Evaluator of predicted frames against the ground truth, with the repeated last frame as baseline, over all ranks."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from data_pipelines.video.batch import PackedClips
from trainables.contract.evaluation import EvaluationResult, Evaluator
from trainables.contract.prediction import Row
from trainables.contract.train_context import Collectives
from trainables.contract.workload_config import BASELINE
from trainables.metrics.generative.fvd import ClipDistances, ClipFeatures
from trainables.metrics.images.psnr import PEAK, compute_psnr
from trainables.metrics.images.ssim import WINDOW, compute_ssim
from trainables.workloads.video_prediction.config import VideoPredictionConfig
from trainables.workloads.video_prediction.diffusion.predictors import Predictor, rollout
from trainables.workloads.video_prediction.plots import Shown, draw_predictions, to_8_bit
from trainables.workloads.video_prediction.spaces.frame_spaces import Space
from trainables.workloads.video_prediction.windows import cut_even_windows, noise_of

_OURS, _COPY, _BEST = range(3)
_LARGER_IS_BETTER = ("psnr", "ssim")
Frames = Float[Tensor, "time channels height width"]
"""Grey levels in 0..1."""


class WindowEvaluator(Evaluator[PackedClips]):
    """Evaluator whose metrics are means over windows, each counted once over all ranks; frames in 0..1, clamped."""

    def __init__(
        self,
        config: VideoPredictionConfig,
        space: Space,
        predictor: Predictor,
        *,
        features: ClipFeatures | None,
        perceptual: Mapping[str, nn.Module],
        seed: int,
        frames_per_s: float,
        collectives: Collectives,
        device: torch.device,
    ) -> None:
        self.split = config.evaluation.split
        self._config, self._space, self._predictor, self._seed = config, space, predictor, seed
        self._collectives, self._device, self._frames_per_s = collectives, device, frames_per_s
        self._perceptual = perceptual
        self._names = (*score_names(config.data.height, config.data.width), *perceptual)
        self._sums = torch.zeros(3, len(self._names), config.num_predicted, dtype=torch.float64, device=device)
        self._count = torch.zeros((), dtype=torch.float64, device=device)
        self._fvd = ClipDistances(features, ("ours", "copies"), device) if features else None
        self._nfe = 0
        self._shown: list[Shown] = []
        self._scores: list[tuple[Tensor, Tensor]] = []
        """Scores of each window and those of the repeated last frame, [scores, time]."""

    def update(self, module: nn.Module, batch: PackedClips) -> None:
        """Predict the windows of these clips."""
        data, evaluation = self._config.data, self._config.evaluation
        past, future = cut_even_windows(
            batch,
            num_past=data.num_past,
            num_future=self._config.num_predicted,
            stride=data.sample_interval,
            per_clip=evaluation.windows_per_clip,
        )
        if not len(past):
            return
        truth = future.float() / 255
        draws = torch.stack([self._predict(module, past, draw) for draw in range(evaluation.num_draws)])
        copies = past[:, -1:].float().div(255).expand_as(truth)
        for window in range(len(past)):
            self._add(draws[:, window], copies[window], truth[window])
            if len(self._shown) < evaluation.num_shown:
                self._shown.append(Shown(past[window], future[window], draws[0, window]))
        if self._fvd:
            ours, copies = (torch.cat([past, to_8_bit(frames)], dim=1) for frames in (draws[0], copies))
            self._fvd.add(torch.cat([past, future], dim=1), ours=ours, copies=copies)

    def compute(self, module: nn.Module) -> EvaluationResult:
        """Return means over windows and draws, for each future frame and over all of them; a collective."""
        count = float(self._collectives.sum(self._count))
        if not count:
            raise ValueError(
                f"no clip of the split {self.split} is long enough for {self._config.data.num_past} past and "
                f"{self._config.num_predicted} future frames at sample_interval {self._config.data.sample_interval}; "
                "lower `evaluation.rollout_frames`"
            )
        means = self._collectives.sum(self._sums) / count
        nfe = self._collectives.gather(torch.tensor([self._nfe], device=self._device))
        places = {"eval/": _OURS, "baseline/eval/": _COPY}
        places |= {"eval/best/": _BEST} if self._config.evaluation.num_draws > 1 else {}
        numel = self._config.data.num_channels * self._config.data.height * self._config.data.width
        metrics: dict[str, float] = {}
        for prefix, place in places.items():
            metrics |= self._curves(prefix, means[place])
            metrics |= {f"{prefix}{name}_sum": metrics[f"{prefix}{name}"] * numel for name in ("mse", "mae")}
        if self._fvd:
            fvd = self._fvd.compute(self._collectives.sum)
            metrics |= {"eval/fvd": fvd["ours"], "baseline/eval/fvd": fvd["copies"], "eval/fvd_clips": fvd["clips"]}
        panels = draw_predictions(self._gather_shown(), self._config, self._frames_per_s)
        return EvaluationResult(metrics | {"eval/nfe": int(nfe.max())}, panels, self._rows)

    def _predict(self, module: nn.Module, past: Tensor, draw: int) -> Tensor:
        generators = noise_of(past, self._seed, draw)
        encoded = self._space.encode(past)
        prediction = rollout(self._predictor, module, encoded, self._config.num_predicted, generators)
        self._nfe = prediction.nfe
        return self._space.decode(prediction.frames)

    def _add(self, draws: Tensor, copy: Tensor, truth: Tensor) -> None:
        """Add one window; `draws` is [draws, time, channels, height, width]."""
        scores = torch.stack([score_frames(draw, truth, self._perceptual) for draw in draws])
        ours, trivial = scores.mean(dim=0), score_frames(copy, truth, self._perceptual)
        self._sums[_OURS] += ours
        self._sums[_COPY] += trivial
        self._sums[_BEST] += best_draw(scores, self._names)
        self._count += 1
        self._scores.append((ours, trivial))

    def _rows(self) -> list[Row]:
        return [
            {"split": self.split, **self._curves("", ours), **self._curves(BASELINE, trivial)}
            for ours, trivial in self._scores
        ]

    def _curves(self, prefix: str, scores: Float64[Tensor, "scores time"]) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, curve in zip(self._names, scores.tolist(), strict=True):
            found[f"{prefix}{name}"] = sum(curve) / len(curve)
            found |= {f"{prefix}{name}/t+{place}": value for place, value in enumerate(curve, start=1)}
        return found

    def _gather_shown(self) -> list[Shown]:
        """Return the first windows in the order of the split, the same on every rank; a collective."""
        data, count = self._config.data, self._config.evaluation.num_shown
        frame = (data.num_channels, data.height, data.width)
        gathered: list[Tensor] = []
        for place, num_frames in enumerate((data.num_past, self._config.num_predicted, self._config.num_predicted)):
            own = [shown[place].to(self._device, torch.float32) for shown in self._shown]
            empty = torch.zeros(0, num_frames, *frame, device=self._device)
            gathered.append(self._collectives.gather(torch.cat([empty, *(each[None] for each in own)]))[:count].cpu())
        past, future, prediction = gathered
        parts = zip(past.to(torch.uint8), future.to(torch.uint8), prediction, strict=True)
        return [Shown(*each) for each in parts]


def best_draw(scores: Float64[Tensor, "draws scores time"], names: tuple[str, ...]) -> Float64[Tensor, "scores time"]:
    """Return for each score the draw that is best in it, by its mean over time (as MCVD: Voleti et al. 2022)."""
    rows = []
    for place, name in enumerate(names):
        means = scores[:, place].mean(dim=-1)
        chosen = means.argmax() if name in _LARGER_IS_BETTER else means.argmin()
        rows.append(scores[chosen, place])
    return torch.stack(rows)


def score_names(height: int, width: int) -> tuple[str, ...]:
    """Return the names of the scores; without `ssim` for frames smaller than its window."""
    return ("mse", "mae", "psnr", "ssim") if min(height, width) >= WINDOW else ("mse", "mae", "psnr")


def score_frames(
    prediction: Frames, truth: Frames, perceptual: Mapping[str, nn.Module] | None = None
) -> Float64[Tensor, "scores time"]:
    """Compute the scores of each frame, in the order of `score_names`, those of the perceptual metrics behind them.

    They are the mean squared and absolute error over all channels and pixels, PSNR in dB, and SSIM. The mean PSNR is
    the mean of these values, never the PSNR of a mean error. Perceptual metrics get grey
    levels 0 to 255, of grey frames as three equal colours.

    Raises ValueError for frames that are too small for the network of a perceptual metric.
    """
    error = prediction.double() - truth.double()
    rows = [error.square().flatten(1).mean(1), error.abs().flatten(1).mean(1)]
    pairs = list(zip(prediction.double() * PEAK, truth.double() * PEAK, strict=True))
    rows.append(torch.stack([compute_psnr(*pair) for pair in pairs]))
    if "ssim" in score_names(*prediction.shape[-2:]):
        rows.append(torch.stack([compute_ssim(*pair) for pair in pairs]))
    for network in (perceptual or {}).values():
        shown = [[frame.round().expand(3, -1, -1) for frame in pair] for pair in pairs]
        rows.append(torch.stack([network(*pair).double() for pair in shown]))
    return torch.stack(rows)
