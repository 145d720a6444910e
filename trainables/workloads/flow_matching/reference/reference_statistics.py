"""Statistics of a task's real images: feature network, pixel statistics, feature moments, and baseline scores."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trainables.contract.train_context import StartContext
from trainables.metrics.generative.frechet import Gaussian
from trainables.workloads.flow_matching.config import Evaluation
from trainables.workloads.flow_matching.pixels import to_uint8
from trainables.workloads.flow_matching.reference.features import (
    FeatureNetwork,
    describe_training,
    train_feature_network,
)
from trainables.workloads.flow_matching.reference.pixel_statistics import PixelMoments, PixelSums
from trainables.workloads.flow_matching.reference.real_features import MAX_ROWS, RealFeatures
from trainables.workloads.flow_matching.reference.reservoir import SUBSET_SIZE, SubsetSampler
from trainables.workloads.flow_matching.reference.scoring import Scores


class RealData:
    """Statistics of the real images, empty until `learn` or `load_state_dict`.

    Gaussians and features are kept by the extractor's name. `network` is None unless its features are needed.
    """

    def __init__(self, shape: tuple[int, int, int], num_classes: int) -> None:
        self.shape = shape
        self.num_classes = num_classes
        self.network: FeatureNetwork | None = None
        self.accuracy = float("nan")
        self.pixels: PixelMoments | None = None
        self.gaussians: dict[str, Gaussian] = {}
        self.features: dict[str, RealFeatures] = {}
        self._baselines: dict[str, Scores] = {}

    def learn(self, start: StartContext, *, with_network: bool = True) -> None:
        """Compute pixel statistics and, where its features are needed, the feature network; a collective.

        Once for a data set, in one pass over the training split.
        """
        if not with_network:
            found = start.cached("pixel_statistics", {}, lambda: {"pixels": self._read(start, None).state_dict()})
            self.pixels = PixelMoments.from_state_dict(found["pixels"])
            return
        recipe = {**describe_training(), "subset": SUBSET_SIZE}
        self._take(start.cached("feature_network", recipe, lambda: self._learn(start)))

    def _learn(self, start: StartContext) -> dict[str, Any]:
        """Read the training split once; rank 0 then trains the feature network."""
        sampler = SubsetSampler(self.shape, start.device)
        pixels = self._read(start, sampler)
        subset = sampler.gather(start.collectives)
        trained = None
        if start.collectives.rank == 0:
            count = f"{len(subset.labels):,} images"
            print(f"the features of eval/fid_local are learnt from {count}, once for these data", flush=True)
            features = train_feature_network(subset.images, subset.labels, num_classes=self.num_classes)
            trained = {"network": features.network.state_dict(), "accuracy": features.accuracy}
            print(f"the features of eval/fid_local tell {features.accuracy:.1%} of the {count} apart", flush=True)
        return {**start.collectives.broadcast(trained), "pixels": pixels.state_dict()}

    @torch.no_grad()
    def _read(self, start: StartContext, sampler: SubsetSampler | None) -> PixelMoments:
        sums = PixelSums(self.shape, self.num_classes, start.device)
        for batch in start.batches("train"):
            images = to_uint8(batch["image"])
            sums.add(images, batch["label"])
            if sampler is not None:
                sampler.add(images, batch["label"])
        return sums.over_ranks(start.collectives)

    def num_kept(self, extractor: str, settings: Evaluation) -> int:
        """Return of how many generated samples an evaluation keeps the features."""
        rows = self.rows_for(extractor, settings)
        return 0 if rows is None else min(MAX_ROWS, settings.num_samples)

    def rows_for(self, extractor: str, settings: Evaluation) -> Float[Tensor, "rows dim"] | None:
        """Return the real features, for an evaluation that needs them."""
        return self.features[extractor].rows if settings.metric == "all" else None

    def class_ratios(self) -> list[float]:
        """Return the shares of the classes in the training split; equal ones before `learn`."""
        if self.pixels is None:
            return [1 / self.num_classes] * self.num_classes
        counts = self.pixels.class_counts.double()
        return (counts / counts.sum()).tolist()

    def baseline(self, extractor: str, num_samples: int) -> Scores | None:
        """Return scores of the trivial generator with as many samples, as the distance falls with their number."""
        return self._baselines.get(f"{extractor}/{num_samples}")

    def keep_baseline(self, extractor: str, num_samples: int, scores: Scores) -> None:
        """Store scores for `baseline`."""
        self._baselines[f"{extractor}/{num_samples}"] = scores

    def state_dict(self) -> dict[str, Any]:
        """Return CPU tensors and numbers; empty before `learn`."""
        if self.pixels is None:
            return {}
        state: dict[str, Any] = {
            "pixels": self.pixels.state_dict(),
            "gaussians": {name: gaussian.state_dict() for name, gaussian in self.gaussians.items()},
            "baselines": {name: asdict(scores) for name, scores in self._baselines.items()},
        }
        if self.network is not None:
            weights = {name: tensor.cpu().clone() for name, tensor in self.network.state_dict().items()}
            state |= {"network": weights, "accuracy": self.accuracy}
        if self.features:
            state["features"] = {name: features.state_dict() for name, features in self.features.items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`, also of a model that was saved when there were fewer scores."""
        if not state:
            return
        self._take(state)
        self.gaussians = {name: Gaussian.from_state_dict(value) for name, value in state["gaussians"].items()}
        self.features = {name: RealFeatures.from_state_dict(value) for name, value in state.get("features", {}).items()}
        self._baselines = {name: Scores(**scores) for name, scores in state["baselines"].items()}

    def fingerprint(self, extractor: str) -> str:
        """Hash everything an extractor's scores follow from, beside the samples and the published weights."""
        digest = hashlib.sha256()
        for part in (self.network, self.pixels, self.gaussians.get(extractor)):
            for tensor in part.state_dict().values() if part is not None else ():
                digest.update(tensor.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _take(self, learnt: Mapping[str, Any]) -> None:
        self.pixels = PixelMoments.from_state_dict(learnt["pixels"])
        if "network" not in learnt:
            return
        with torch.random.fork_rng(devices=[]):
            self.network = FeatureNetwork(self.shape[0], self.num_classes)
        self.network.load_state_dict(learnt["network"])
        self.network.eval().requires_grad_(False)
        self.accuracy = learnt["accuracy"]
