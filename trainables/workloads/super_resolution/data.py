"""Data pipeline of super-resolution, built from the workload's settings."""

from data_pipelines.super_resolution.pipeline import SuperResolutionPipeline
from trainables.workloads.super_resolution.config import SuperResolutionConfig


def build_pipeline(config: SuperResolutionConfig) -> SuperResolutionPipeline:
    """Build the pipeline of complete images with random patches."""
    return SuperResolutionPipeline(config.data)
