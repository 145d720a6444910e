"""From settings to the data of pruning."""

from data_pipelines.images.pipeline import ImagePipeline
from trainables.workloads.pruning.config import PruningConfig


def build_pipeline(config: PruningConfig) -> ImagePipeline:
    """Labelled images."""
    return ImagePipeline(config.data)
