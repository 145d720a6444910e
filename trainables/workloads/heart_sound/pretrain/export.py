"""Export of a pretrained encoder of heart sounds, without the projectors of its training."""

from collections.abc import Mapping
from typing import Any

from trainables.contract.export import ExportSpec, Graph, GraphOutput
from trainables.workloads.heart_sound.export import LIMITS, describe_data, describe_preprocessing, describe_signal
from trainables.workloads.heart_sound.networks.encoder import Encoder
from trainables.workloads.heart_sound.pretrain.config import PretrainConfig

_BUILD = """
from trainables.workloads.heart_sound.networks.config import EncoderConfig
from trainables.workloads.heart_sound.networks.encoder import Encoder

module = weights_of = Encoder(EncoderConfig(**card["architecture"]["encoder"]))
"""


def describe_encoder(
    encoder: Encoder, config: PretrainConfig, data_spec: Mapping[str, Any], num_samples: int
) -> ExportSpec:
    """Describe an encoder for its export."""
    output = GraphOutput("embedding", ("batch", encoder.width), "the embedding of each signal")
    return ExportSpec(
        "An encoder of heart sounds, pretrained by contrastive learning without labels.",
        encoder,
        [Graph(encoder, [describe_signal(num_samples)], output)],
        architecture={"encoder": config.encoder.model_dump(mode="json")},
        preprocessing=describe_preprocessing(config.data),
        data=describe_data(data_spec),
        limits=(*LIMITS, "It answers nothing by itself: train a classifier on its embeddings."),
        tags=["heart-sounds", "phonocardiogram", "contrastive-learning"],
        pipeline_tag="feature-extraction",
        build_code=_BUILD,
    )
