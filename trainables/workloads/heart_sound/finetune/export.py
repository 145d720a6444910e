"""Export of a classifier of heart sounds."""

from collections.abc import Mapping
from typing import Any

from trainables.contract.export import ExportSpec, Graph, GraphOutput
from trainables.workloads.heart_sound.export import LIMITS, describe_data, describe_preprocessing, describe_signal
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.heart_sound.finetune.decision import DecisionRule
from trainables.workloads.heart_sound.finetune.network import FinetuneNetwork

_POOLED = {
    "logits": "their mean",
    "probabilities": "the logarithm of the mean of the probabilities",
    "noisy_or": "noisy-or: the positive class has 1 - prod(1 - p), and the others share the rest as in the mean",
    "most_positive": "taking those with the largest probability of the positive class",
}
_BUILD = """
from trainables.workloads.heart_sound.finetune.config import Head
from trainables.workloads.heart_sound.finetune.decision import DecisionRule
from trainables.workloads.heart_sound.finetune.network import FinetuneNetwork
from trainables.workloads.heart_sound.networks.config import EncoderConfig

made = card["architecture"]
encoder, head = EncoderConfig(**made["encoder"]), Head(**made["head"])
num_classes = len(card["classes"])
module = weights_of = FinetuneNetwork(encoder, head, num_classes=num_classes, is_frozen=made["is_linear"])
"""


def describe_network(
    network: FinetuneNetwork, config: FinetuneConfig, data_spec: Mapping[str, Any], num_samples: int, rule: DecisionRule
) -> ExportSpec:
    """Describe a classifier for its export.

    Args:
        network: Encoder and classifier.
        config: Settings of the workload.
        data_spec: That of the training's data.
        num_samples: Values of a signal.
        rule: The decision rule.
    """
    task, names = config.heart_task, list(data_spec["class_names"])
    output = GraphOutput("logits", ("batch", len(names)), "one logit for each class, in the order of `classes`")
    return ExportSpec(
        f"A classifier of heart sounds ({config.task}): {', '.join(names)}.",
        network,
        [Graph(network, [describe_signal(num_samples)], output)],
        architecture={
            "encoder": config.encoder.model_dump(mode="json"),
            "head": config.head.model_dump(mode="json"),
            "is_linear": config.mode == "linear",
        },
        preprocessing=describe_preprocessing(config.data),
        class_names=names,
        decision={
            "rule": "argmax" if rule.score is None else "multipliers",
            **rule.as_dict(names),
            "unit": task.unit,
            "aggregation": f"the logits of all parts of a recording by {_POOLED[config.pooling.cycles]}"
            + (f", those of a patient's recordings by {_POOLED[config.pooling.recordings]}" * (task.unit == "patient")),
            "probabilities": "softmax of what comes out",
        },
        data=describe_data(data_spec),
        limits=LIMITS,
        tags=["heart-sounds", "phonocardiogram", config.task],
        pipeline_tag="audio-classification",
        build_code=_BUILD,
    )
