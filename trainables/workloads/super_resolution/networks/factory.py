"""Factory of the super-resolution networks."""

from collections.abc import Sequence

from torch import nn

from trainables.workloads.super_resolution.network_config import AnyNetwork, Edsr, SymUNet
from trainables.workloads.super_resolution.networks.edsr import EdsrNetwork, ResidualBlock
from trainables.workloads.super_resolution.networks.restormer import TransformerBlock
from trainables.workloads.super_resolution.networks.symunet import SymUNetNetwork
from trainables.workloads.super_resolution.networks.transenet import DecoderLayer, EncoderLayer, TransENetNetwork

BLOCK_TYPES = (ResidualBlock, TransformerBlock, EncoderLayer, DecoderLayer)
"""Classes of the repeated parts of the networks."""


def build_network(config: AnyNetwork, scales: Sequence[int]) -> nn.Module:
    """Build the network of the settings.

    It is called with images in 0..1, [batch, 3, height, width], and a scale; by default the first of `scales`.
    """
    if isinstance(config, Edsr):
        return EdsrNetwork(config, scales)
    if isinstance(config, SymUNet):
        return SymUNetNetwork(config, scales)
    return TransENetNetwork(config, scales)
