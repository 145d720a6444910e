"""Choice of the normalisation of pixels: that of the settings, of the given weights, or of the data."""

import logging
from collections.abc import Collection

from trainables.workloads.pruning.config import PruningConfig
from trainables.workloads.pruning.networks.normalisation import NAMED, PUBLISHED, ChannelStatistics
from trainables.workloads.pruning.pretrained import find_normalisation

logger = logging.getLogger(__name__)
_FIRST = ("conv1.weight", "patch_embed.proj.weight")
"""The weights that read the normalised pixels."""


def choose_normalisation(
    config: PruningConfig, matching: Collection[str], measured: ChannelStatistics
) -> ChannelStatistics:
    """Return mean and deviation for the network; says in the log which, where given weights read the pixels.

    `matching` are the names of the tensors taken from `config.pretrained`, and `measured` is the training set's mean
    and deviation.
    """
    of_data = PUBLISHED.get(config.data.source, measured)
    if config.normalisation is not None:
        return NAMED.get(config.normalisation, of_data)
    if config.pretrained is None or not any(name in matching for name in _FIRST):
        return of_data
    known = find_normalisation(config.pretrained)
    if known is None:
        logger.warning(
            "what %s was trained with is not known: pixels are normalised by the data's %s; if that is wrong, set "
            "`workload.normalisation` to imagenet or inception (dataset ends this warning)",
            config.pretrained,
            _describe(of_data),
        )
        return of_data
    logger.warning("pixels are normalised as %s was trained: %s", config.pretrained, _describe(known))
    return known


def _describe(statistics: ChannelStatistics) -> str:
    mean, deviation = (", ".join(f"{value:.4g}" for value in values) for values in statistics)
    return f"mean {mean}, deviation {deviation}"
