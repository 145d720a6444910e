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
    "attention": "their mean with the weights softmax(scores), over all parts of the recording",
}
_BUILD = """
from trainables.workloads.heart_sound.finetune.config import Head
from trainables.workloads.heart_sound.finetune.decision import DecisionRule
from trainables.workloads.heart_sound.finetune.network import FinetuneNetwork
from trainables.workloads.heart_sound.networks.config import EncoderConfig

made = card["architecture"]
encoder, head = EncoderConfig(**made["encoder"]), Head(**made["head"])
num_classes = len(card["classes"])
how = {"is_frozen": made["is_linear"], "has_attention": made["has_attention"]}
module = weights_of = FinetuneNetwork(encoder, head, num_classes=num_classes, **how)
"""
_POOL_BY_ATTENTION = """
# yours: all parts of one recording, made as `preprocessing` says
signal = rng.standard_normal((3, card["preprocessing"]["num_samples"])).astype(np.float32)
outputs = network(signal)
logits, scores = outputs[:, :-1], outputs[:, -1]
weights = np.exp(scores - scores.max())
weights /= weights.sum()
recording = weights @ logits
print(dict(zip(card["classes"], np.exp(recording) / np.exp(recording).sum())))
"""


def describe_network(
    network: FinetuneNetwork, config: FinetuneConfig, data_spec: Mapping[str, Any], num_samples: int, rule: DecisionRule
) -> ExportSpec:
    """Describe a classifier for its export."""
    task, names = config.heart_task, list(data_spec["class_names"])
    output = GraphOutput("logits", ("batch", len(names)), "one logit for each class, in the order of `classes`")
    if config.has_attention:
        words = f"{output.text}; last the attention score, with which those of a recording are pooled (`decision`)"
        output = GraphOutput("logits_and_score", ("batch", len(names) + 1), words)
    return ExportSpec(
        f"A classifier of heart sounds ({config.task}): {', '.join(names)}.",
        network,
        [Graph(network, [describe_signal(num_samples)], output)],
        architecture={
            "encoder": config.encoder.model_dump(mode="json"),
            "head": config.head.model_dump(mode="json"),
            "is_linear": config.mode == "linear",
            "has_attention": config.has_attention,
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
        use_code=_POOL_BY_ATTENTION if config.has_attention else None,
    )
