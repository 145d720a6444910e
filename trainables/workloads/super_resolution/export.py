"""Export of an enlarging network: pictures in 0..1, one graph for each scale."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from trainables.contract.export import BATCH, Axis, ExportSpec, Graph, GraphInput, GraphOutput
from trainables.workloads.super_resolution.config import SuperResolutionConfig
from trainables.workloads.super_resolution.network_config import TransENet

HEIGHT, WIDTH = Axis("height", minimum=2, example=13), Axis("width", minimum=2, example=14)
_BUILD = """
from pydantic import TypeAdapter
from trainables.workloads.super_resolution.export import OneScale
from trainables.workloads.super_resolution.network_config import AnyNetwork
from trainables.workloads.super_resolution.networks.factory import build_network

scales = card["architecture"]["scales"]
weights_of = build_network(TypeAdapter(AnyNetwork).validate_python(card["architecture"]["network"]), scales)
module = OneScale(weights_of, scales[0])
"""


class OneScale(nn.Module):
    """Network of several scales at one of them."""

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Tensor:
        """Enlarge pictures in 0..1."""
        return self.network(image, self.scale)


def describe_network(network: nn.Module, config: SuperResolutionConfig, data_spec: Mapping[str, Any]) -> ExportSpec:
    """Describe a network for its export."""
    scales = list(config.data.scales)
    names = [f"model_x{scale}" for scale in scales] if len(scales) > 1 else ["model"]
    factors = " or ".join(map(str, scales))
    return ExportSpec(
        f"{_title(config)}, a network that enlarges pictures {factors} times (super-resolution).",
        network,
        [_graph(network, config, scale, name) for scale, name in zip(scales, names, strict=True)],
        architecture={"network": config.network.model_dump(mode="json"), "scales": scales},
        preprocessing={
            "pixels": "RGB as stored (no linear light), divided by 255; a grey picture three times the same channel",
            "result": "clamped to 0..1, times 255, rounded to the nearest",
        },
        data={"source": config.data.source, **data_spec, "degradation": "bicubic, or the pairs of the data"},
        limits=_limits(config),
        tags=["super-resolution", config.network.name],
        pipeline_tag="image-to-image",
        build_code=_BUILD,
    )


def _title(config: SuperResolutionConfig) -> str:
    return {"symunet": "SymUNet", "edsr": "EDSR", "transenet": "TransENet"}[config.network.name]


def _graph(network: nn.Module, config: SuperResolutionConfig, scale: int, name: str) -> Graph:
    side = config.data.lr_patch_size
    height, width = (side, side) if isinstance(config.network, TransENet) else (HEIGHT, WIDTH)
    enlarged = [size * scale if isinstance(size, int) else f"{scale}*{size.name}" for size in (height, width)]
    given = GraphInput("image", (BATCH, 3, height, width), "RGB pictures, pixels divided by 255", range=(0, 1))
    output = GraphOutput("enlarged", ("batch", 3, *enlarged), "enlarged pictures, about 0 to 1; clamp them")
    return Graph(OneScale(network, scale), [given], output, name)


def _limits(config: SuperResolutionConfig) -> list[str]:
    sentences = [
        "It was trained on pictures that were made small as the training data say; others, with noise or compression, "
        "are enlarged with their faults.",
        "Detail that it adds is likely, not measured: no conclusion should rest on it.",
    ]
    if isinstance(config.network, TransENet):
        side = config.data.lr_patch_size
        sentences.append(
            f"TransENet's attention is over all of a picture, and was trained at {side}x{side} pixels alone: graphs "
            f"take this size only. Cut larger pictures into tiles of {side}x{side}."
        )
    return sentences
