"""The pruning task: trains a classifier in rounds, and prunes and rewinds it between them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_pipelines.contract.pipeline import DataSpec
from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.export import ExportSpec
from trainables.contract.panels import Panel
from trainables.contract.task import LossOutput, Task
from trainables.contract.train_context import Collectives, Progress, StartContext
from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.evaluator import SPLITS, AccuracyEvaluator, measure_accuracy
from trainables.workloads.pruning.export import describe_network
from trainables.workloads.pruning.latency import black_images
from trainables.workloads.pruning.networks.blueprint import Blueprint
from trainables.workloads.pruning.networks.build import build_network, measure_size
from trainables.workloads.pruning.networks.resnet import BasicBlock
from trainables.workloads.pruning.networks.vit import VitBlock
from trainables.workloads.pruning.normalisation_choice import choose_normalisation
from trainables.workloads.pruning.pixel_statistics import PixelStatistics, measure_pixels
from trainables.workloads.pruning.plots import draw_rounds
from trainables.workloads.pruning.pretrained import classifies, load_pretrained
from trainables.workloads.pruning.pull_schedules import compute_lambda, compute_progress
from trainables.workloads.pruning.rounds import Round, begin_round, describe_rounds
from trainables.workloads.pruning.selection.physical_removal import build_with, copy_state, remove_units, rewind, shrink
from trainables.workloads.pruning.selection.pruning_marks import PruningMarks, mark_units
from trainables.workloads.pruning.selection.unit_selection import (
    PruningPlan,
    describe_plan,
    plan_pruning,
    refuse_slow,
    refuse_unreachable,
    target_groups,
)

logger = logging.getLogger(__name__)


class PruningTask(Task[Mapping[str, Any]]):
    """Task on batches of the image pipeline; `module` always has the shape of `blueprint`."""

    block_types = (VitBlock, BasicBlock)

    def __init__(self, config: PruningConfig, data_spec: DataSpec, seed: int) -> None:
        self.config, self.seed, self._data_spec = config, seed, data_spec
        self.class_names: list[str] = list(data_spec["class_names"])
        self.num_classes = len(self.class_names)
        shape = {name: data_spec[name] for name in ("channels", "height", "width")}
        self.blueprint = Blueprint(config.arch, **shape, num_classes=self.num_classes, patch_size=config.patch_size)
        refuse_unreachable(self.blueprint, config)
        self.module = build_network(self.blueprint, seed)
        self.majority = 0
        self.pretrained_accuracy: dict[str, float] = {}
        """Of the given weights before any training, as metrics; empty without them or with a new classifier."""
        self.snapshot: dict[str, Tensor] = {}
        """The rewind point: a copy of the dense network's state, on the CPU."""
        self.doomed = PruningMarks()
        self.rounds = [Round(0, 100.0, 100.0)]
        self._updates, self._updates_per_round = 0, 0
        self._has_trained, self._ends_round = False, False

    # ---- training

    def loss(self, module: nn.Module, batch: Mapping[str, Any], *, draws: TorchDraws) -> LossOutput:
        """Compute the cross-entropy, and in an rsst round the penalty on the marked weights."""
        logits = module(batch["image"])
        loss = functional.cross_entropy(logits.float(), batch["label"])
        strength = self._strength_at(self._updates) if self.doomed else 0.0
        metrics = {
            "top1_acc": 100 * (logits.argmax(dim=1) == batch["label"]).float().mean(),
            "cross_entropy": loss,
            "reg_lambd": loss.new_full((), strength),
        }
        if self.doomed:
            loss = loss + self.doomed.penalty(self.module, strength)
        return LossOutput(loss, metrics)

    def on_step_end(self, progress: Progress) -> None:
        """Count the round's steps, on which lambda depends."""
        self._has_trained = True
        self._updates_per_round = progress.steps_per_stage
        self._updates = progress.step % progress.steps_per_stage

    def _strength_at(self, update: int) -> float:
        settings = self.config.regularisation
        return compute_lambda(compute_progress(update, self._updates_per_round, settings), settings)

    # ---- between rounds

    def on_train_start(self, start: StartContext) -> None:
        """Load pretrained weights, compute the normalisation and the largest class, and store the rewind point.

        Pretrained weights are evaluated before they are trained.

        Raises ValueError when no network that pruning may leave is as quick as `target_latency` asks for.
        """
        refuse_slow(self.blueprint, self.config, start)
        matching: list[str] = []
        if self.config.pretrained is not None:
            matching = load_pretrained(self.module, self.config.pretrained)
            logger.warning("%d tensors taken from %s", len(matching), self.config.pretrained)
        found = PixelStatistics(**start.cached("pixel_statistics", {}, lambda: asdict(self._measure_pixels(start))))
        self.majority = found.majority
        chosen = choose_normalisation(self.config, matching, (found.mean, found.std))
        self.module.get_submodule("normalize").set(*chosen)  # pyright: ignore
        self.snapshot = {} if self.config.prune_type == "finetune" else copy_state(self.module)
        if classifies(matching):
            self.pretrained_accuracy = self._judge_pretrained(start)

    def on_epoch_end(self, progress: Progress) -> bool:
        """Store the rewind point if it is this epoch's; at the end of an rsst round remove the marked units."""
        if progress.epoch == self.config.rewind_epoch:
            self.snapshot = copy_state(self.module)
        self._ends_round = progress.ends_stage
        if not (self.doomed and progress.ends_stage):
            return False
        self.rounds[-1].doomed_norm_ratio = self.doomed.norm_ratio(self.module)
        self.rounds[-1].lambda_final = self._strength_at(progress.steps_per_stage - 1)
        self.module, self.blueprint = remove_units(self.module, self.blueprint, self.doomed.kept)
        self.doomed = PruningMarks()
        return True

    def on_stage_start(self, stage: int, start: StartContext) -> Mapping[str, float]:
        """Rank the trained network's units, remove or mark the lowest, and rewind the rest or leave it as trained."""
        plan = plan_pruning(self.module, self.blueprint, self.config, start=start, num_prunings=stage)
        record = self.rounds[-1]
        record.remain_weight_after = (
            100 * sum(int(mask.sum()) for mask in plan.masks.values()) / measure_size(self.blueprint.dense()).prunable
        )
        found = {"remain_weight_after": record.remain_weight_after}
        if self.config.rate is None:
            logger.warning("pruning %d: %s", stage, describe_plan(plan, self.blueprint, self.config, stage))
            found["pruning_rate"] = plan.rate
        trained = self.module
        if self.config.struct == "refill":
            trained, self.blueprint = remove_units(trained, self.blueprint, plan.kept)
            found["test_accuracy_after_pruning"] = self._measure(trained, start)
        self.module = self._restart(trained, start)
        if self.config.struct == "rsst":
            self._doom(plan)
        if self.config.prune_type != "finetune":
            found["test_accuracy_rewound"] = self._measure(self.module, start)
        num_zeroed = self.doomed.num_zeroed()
        following = begin_round(stage, self.config, self.blueprint, num_zeroed=num_zeroed, latency=plan.latency)
        following.test_accuracy_after_pruning = found.get("test_accuracy_after_pruning")
        self.rounds.append(following)
        self._updates, self._ends_round = 0, False
        return found

    def _measure_pixels(self, start: StartContext) -> PixelStatistics:
        return measure_pixels(
            start.batches("train"),
            channels=self.blueprint.channels,
            num_classes=self.num_classes,
            collectives=start.collectives,
            device=start.device,
        )

    def _judge_pretrained(self, start: StartContext) -> dict[str, float]:
        found = {
            f"pretrained_{split}_accuracy": measure_accuracy(self.module, start.batches(split), start.collectives)
            for split in SPLITS
        }
        logger.warning(
            "before any training the given weights have %.2f %% of the validation and %.2f %% of the test images "
            "right; if they were trained on the validation images too, `val_accuracy` is too high, and the best epoch "
            "that it chooses means little",
            *found.values(),
        )
        return found

    @staticmethod
    def _measure(network: nn.Module, start: StartContext) -> float:
        return measure_accuracy(network, start.batches("test"), start.collectives)

    def _restart(self, trained: nn.Module, start: StartContext) -> nn.Module:
        """Build the network that a round starts with; what rank 0 has, as running statistics differ between ranks."""
        if self.config.prune_type == "finetune":
            return build_with(self.blueprint, start.collectives.broadcast(copy_state(trained))).to(start.device)
        self.snapshot = start.collectives.broadcast(self.snapshot)
        return rewind(self.snapshot, self.blueprint).to(start.device)

    def _doom(self, plan: PruningPlan) -> None:
        shapes = {name: tensor.shape for name, tensor in self.module.state_dict().items()}
        self.doomed = mark_units(target_groups(self.blueprint, self.config), plan.kept, shapes, plan.masks)
        self.doomed.attach(self.module)

    # ---- evaluation

    def evaluator(self, collectives: Collectives, device: torch.device) -> AccuracyEvaluator:
        """Build an evaluator of the pruned network, also in the middle of an rsst round."""
        return AccuracyEvaluator(
            self.prune,
            self._describe,
            majority=self.majority,
            class_names=self.class_names,
            collectives=collectives,
            device=device,
        )

    def prune(self, module: nn.Module) -> nn.Module:
        """Return the network without its marked units."""
        return remove_units(module, self.blueprint, self.doomed.kept)[0] if self.doomed else module

    @property
    def pruned_blueprint(self) -> Blueprint:
        """Blueprint of the network without its marked units."""
        return shrink(self.blueprint, self.doomed.kept)

    def _describe(self, accuracy: dict[str, float]) -> dict[str, float]:
        self.rounds[-1].close(self.pruned_blueprint)
        return {**describe_rounds(self.rounds, accuracy, is_training=self._has_trained), **self.pretrained_accuracy}

    def visualise(self, module: nn.Module, batch: Any, progress: Progress, device: torch.device) -> Sequence[Panel]:
        """Draw the curve of lambda; at a round's end also the tables, and accuracy against size."""
        return draw_rounds(
            self.rounds,
            self.config,
            progress,
            self.pruned_blueprint,
            ends_round=self._ends_round,
            pretrained_accuracy=self.pretrained_accuracy.get("pretrained_test_accuracy"),
        )

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return a black image."""
        return (black_images(self.blueprint, 1),)

    def export_spec(self) -> ExportSpec:
        """Describe the network without its marked units."""
        return describe_network(
            self.prune(self.module), self.pruned_blueprint, self._data_spec, self.config.data.source
        )

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """Return shapes, marks, rewind point and records."""
        return {
            "kept": self.blueprint.to_plain()["kept"],
            "snapshot": self.snapshot,
            "doomed": self.doomed.state_dict(),
            "majority": self.majority,
            "pretrained_accuracy": self.pretrained_accuracy,
            "rounds": [record.to_plain() for record in self.rounds],
            "updates": self._updates,
            "updates_per_round": self._updates_per_round,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`; the module gets the shapes that the weights will have."""
        self.blueprint = self.blueprint.keeping(state["kept"])
        self.module = build_network(self.blueprint, self.seed)
        self.snapshot = dict(state["snapshot"])
        self.doomed = PruningMarks(**state["doomed"])
        self.doomed.attach(self.module)
        self.majority = state["majority"]
        self.pretrained_accuracy = dict(state.get("pretrained_accuracy", {}))  # saved before it was measured: none
        self.rounds = [Round(**record) for record in state["rounds"]]
        self._updates, self._updates_per_round = state["updates"], state["updates_per_round"]
