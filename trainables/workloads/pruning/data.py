"""Data pipeline of pruning, built from the workload's settings."""

from data_pipelines.images.pipeline import ImagePipeline
from trainables.workloads.pruning.config import PruningConfig


def build_pipeline(config: PruningConfig) -> ImagePipeline:
    """Build the pipeline of labelled images."""
    return ImagePipeline(config.data)
