"""The fine-tuning task: trains a clinical task on labelled heart cycles, scored by cycle, recording and patient."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from data_pipelines.contract.pipeline import SPLITS, DataSpec
from data_pipelines.contract.row_draws import TorchDraws
from trainables.contract.export import ExportSpec
from trainables.contract.task import LossOutput, ParameterGroup, Task
from trainables.contract.train_context import Collectives, Progress, StartContext
from trainables.workloads.heart_sound.finetune.aggregation import Answers
from trainables.workloads.heart_sound.finetune.class_loss import (
    adjust_logits,
    classification_loss,
    weigh_classes,
    weigh_patients,
)
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig, Pooling
from trainables.workloads.heart_sound.finetune.decision import DecisionRule, argmax_rule, read_rule
from trainables.workloads.heart_sound.finetune.evaluator import FinetuneEvaluator
from trainables.workloads.heart_sound.finetune.export import describe_network
from trainables.workloads.heart_sound.finetune.network import FinetuneNetwork, pool_bags
from trainables.workloads.heart_sound.finetune.pretrained import differing_data, load_encoder, pretraining_subjects
from trainables.workloads.heart_sound.finetune.scoring.decision_learning import learn_rule
from trainables.workloads.heart_sound.networks.encoder import BLOCK_TYPES

logger = logging.getLogger(__name__)


class FinetuneTask(Task[Mapping[str, Any]]):
    """Fine-tuning of the encoder, or of a classifier on it; a saved model loads without its pretraining run."""

    module: FinetuneNetwork
    weights_stream = "classifier"
    block_types = BLOCK_TYPES

    def __init__(self, config: FinetuneConfig, data_spec: DataSpec, seed: int) -> None:
        self.config = config
        self.data_spec = data_spec
        self._num_samples = int(data_spec["num_samples"])
        num_classes = len(data_spec["class_names"])
        self.module = FinetuneNetwork(
            config.encoder,
            config.head,
            num_classes=num_classes,
            is_frozen=config.mode == "linear",
            has_attention=config.has_attention,
        )
        if config.pretrained is not None and config.pretrained.exists():
            self.module.encoder.load_state_dict(load_encoder(config.pretrained, config.encoder))
        self._counts = torch.zeros(num_classes, dtype=torch.float64)
        """Training samples of each class, weighted by patient where the loss is."""
        self._patient_weights: Tensor | None = None
        """Weight of each patient's samples, where the loss counts patients."""
        self._weights: Tensor | None = None
        """Class weights, on the training's device once a step has needed them."""
        self._confusion = torch.zeros(num_classes, num_classes, dtype=torch.float64)
        """Training answers since the last evaluation, [true, predicted], over all ranks."""
        self._answers: list[Tensor] = []
        self._collectives: Collectives | None = None
        """Those of the training; None outside of one."""
        self._rule: DecisionRule | None = None
        """Learnt in the training's last evaluation."""

    @property
    def rule(self) -> DecisionRule:
        """The decision rule: that which training has learnt, else argmax."""
        return self._rule if self._rule is not None else argmax_rule(self.config.heart_task)

    def on_start(self, collectives: Collectives) -> None:
        """Keep the collectives, which add up training answers."""
        self._collectives = collectives

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Return the encoder, with a lower rate, and the classifier, with its attention."""
        attention = [] if self.module.attention is None else self.module.attention.parameters()
        return [
            ParameterGroup("encoder", list(self.module.encoder.parameters()), self.config.encoder_rate_factor),
            ParameterGroup("classifier", [*self.module.classifier.parameters(), *attention]),
        ]

    def on_train_start(self, start: StartContext) -> None:
        """Count the training samples of each class, for their weights."""
        if self.config.pretrained is not None:
            self._warn_of_seen(self.config.pretrained)
            differing = differing_data(self.config.pretrained, self.config.data)
            if differing:
                logger.warning("the encoder was pretrained on other samples; %s", "; ".join(differing))
        elif self.config.mode == "linear":
            logger.warning("linear evaluation without `workload.pretrained`: the encoder is random and stays so")
        if self.config.task == "circor_murmur" and None in self.data_spec.get("outcomes", [None]):
            if self.config.decision_score == "cost":
                raise ValueError(
                    "`workload.decision.score` is cost, which is counted by the patients' outcomes; these data do not "
                    "tell them for all (if they were prepared by an earlier version, run `prepare --again`)"
                )
            logger.warning(
                "the cost of the murmur answers is left out: it is counted by the patients' outcomes, which these data "
                "do not tell for all; if they were prepared by an earlier version, run `prepare --again`"
            )
        self._count_samples(start)
        if (self._counts == 0).any():
            names = [
                name for name, count in zip(self.data_spec["class_names"], self._counts, strict=True) if count == 0
            ]
            logger.warning("no training cycles of %s; these classes cannot be predicted", ", ".join(names))

    def _count_samples(self, start: StartContext) -> None:
        counts_patients = self.config.loss.counts == "patients"
        if counts_patients and "patients" not in self.data_spec:
            raise ValueError("`loss.counts` is patients, and these data do not number them; run `prepare --again`")
        num_patients, num_classes = len(self.data_spec["patients"]) if counts_patients else 1, len(self._counts)
        counts = torch.zeros(num_patients * num_classes, dtype=torch.float64)
        for batch in start.batches("train"):
            label = batch["label"].cpu()
            place = batch["patient"].cpu() * num_classes + label if counts_patients else label
            share = batch["bag_share"].cpu() if self.config.has_attention else None  # adds up to 1 for each bag
            counts += torch.bincount(place, share, minlength=len(counts))
        samples = start.collectives.sum(counts).round().reshape(num_patients, num_classes)
        self._weights, self._patient_weights = None, None
        if counts_patients:
            self._patient_weights = weigh_patients(samples)
            samples = samples * self._patient_weights[:, None]
        self._counts = samples.sum(dim=0)

    def _warn_of_seen(self, pretrained: Path) -> None:
        tested = set(self.data_spec["subjects"]["test"])
        seen = tested & pretraining_subjects(pretrained)
        if seen:
            logger.warning(
                "%d of the %d test subjects, such as %s, were in the pretraining of %s; give it `withheld_tasks: [%s]` "
                "with the `test_ratio` and `split_seed`, or the fold, of here",
                *(len(seen), len(tested), min(seen), pretrained, self.config.task),
            )

    def loss(self, module: nn.Module, batch: Mapping[str, Any], *, draws: TorchDraws) -> LossOutput:
        """Compute the loss of single cycles, or with attention of bags."""
        logits, label = self._classify(module, batch), batch["label"]
        predicted = logits.detach().argmax(dim=1)
        self._answers.append(label * logits.shape[1] + predicted)
        settings, rows = self.config.loss, None
        if self._patient_weights is not None:
            self._patient_weights = self._patient_weights.to(logits.device)
            rows = self._patient_weights[batch["patient"]].float()
        accuracy = (predicted == label).float().mean()
        if settings.logit_adjustment:
            logits = adjust_logits(logits, self._counts, settings.logit_adjustment)
        loss = classification_loss(logits, label, settings, self._class_weights(logits.device), rows)
        return LossOutput(loss, {"accuracy": accuracy})

    def _classify(self, module: nn.Module, batch: Mapping[str, Any]) -> Tensor:
        """Return the logits of each sample."""
        signal = batch["signal"]
        if not self.config.has_attention:
            return module(signal)
        outputs = module(signal.flatten(0, 1))
        return pool_bags(outputs.unflatten(0, signal.shape[:2]), batch["is_first"])

    def _class_weights(self, device: torch.device) -> Tensor | None:
        settings = self.config.loss
        if self._weights is None and settings.weighs_classes and bool(self._counts.sum()):
            self._weights = weigh_classes(self._counts, settings.largest_weight).to(device)
        return self._weights

    def on_step_end(self, progress: Progress) -> None:
        """Add the step's answers of all ranks."""
        num_classes = len(self._confusion)
        places, self._answers = torch.cat(self._answers), []
        counts = torch.zeros(num_classes**2, dtype=torch.float64, device=places.device)
        counts.scatter_add_(0, places, torch.ones_like(places, dtype=torch.float64))
        counts = self._collectives.sum(counts) if self._collectives is not None else counts
        self._confusion = self._confusion.to(counts.device) + counts.reshape(num_classes, num_classes)

    def evaluator(self, collectives: Collectives, device: torch.device) -> FinetuneEvaluator:
        """Build an evaluator of all splits but train, with the training answers since the last evaluation."""
        counts = self.data_spec["num_recordings"]
        confusion, self._confusion = self._confusion.cpu(), torch.zeros_like(self._confusion)
        return FinetuneEvaluator(
            self.config.heart_task,
            [cast(Any, split) for split in SPLITS if split != "train" and counts.get(split)],
            training=confusion.round().long().numpy(),
            data_spec=self.data_spec,
            pooling=self.config.pooling,
            goal=self.config.selection_metric.metric,
            has_details=self._collectives is None,
            find_rule=self._find_rule,
            collectives=collectives,
        )

    def _find_rule(self, validation: Answers | None, outcomes: Sequence[str | None]) -> DecisionRule:
        """Learn the rule in a training; a saved model keeps its own."""
        is_learnt = self.config.decision.rule == "learnt"
        if self._collectives is not None and is_learnt and validation is not None:
            score = self.config.decision_score
            self._rule = learn_rule(validation, self.config.heart_task, score, outcomes)
            if self._rule.score is None:
                logger.warning("%s is undefined for these validation subjects: the likeliest class is answered", score)
        elif is_learnt and self._rule is None:
            logger.warning("this model keeps no decision rule: the likeliest class is answered")
        return self.rule if is_learnt else argmax_rule(self.config.heart_task)

    def learnt(self) -> Mapping[str, Any]:
        """Return the decision rule."""
        kept = self.rule.as_dict(self.config.heart_task.classes)
        return {"decision": kept | {"pooling": self.config.pooling.model_dump(mode="json")}}

    def example_inputs(self) -> tuple[Tensor, ...]:
        """Return one silent cycle."""
        return (torch.zeros(1, self._num_samples),)

    def export_spec(self) -> ExportSpec:
        """Describe encoder and classifier."""
        return describe_network(self.module, self.config, self.data_spec, self._num_samples, self.rule)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts of classes and training answers, the weights of patients, and the decision rule.

        The last two are there if the loss has, and the training has learnt, them.
        """
        state: dict[str, Any] = {"counts": self._counts, "confusion": self._confusion.cpu()}
        if self._patient_weights is not None:
            state["patient_weights"] = self._patient_weights.cpu()
        return state if self._rule is None else {**state, **self.learnt()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore `state_dict`."""
        self._counts, self._confusion, self._weights = state["counts"], state["confusion"].clone(), None
        self._patient_weights = state.get("patient_weights")
        self._rule = read_rule(state, self.config.heart_task) if "decision" in state else None
        if self._rule is not None and self._rule.score is not None:
            self._warn_of_pooling(state["decision"].get("pooling", Pooling().model_dump(mode="json")))

    def _warn_of_pooling(self, learnt: Mapping[str, str]) -> None:
        wanted = self.config.pooling.model_dump(mode="json")
        if wanted != learnt:
            logger.warning(
                "the decision rule was learnt with `pooling` %s, and is used with %s: it may be far from the best",
                *(dict(learnt), wanted),
            )
