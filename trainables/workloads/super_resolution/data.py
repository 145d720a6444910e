"""From settings to the data of super-resolution."""

from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from trainables.workloads.super_resolution.config import SuperResolutionConfig


def build_pipeline(config: SuperResolutionConfig) -> SuperResolutionPipeline:
    """Whole images with random patches."""
    return SuperResolutionPipeline(config.data)
