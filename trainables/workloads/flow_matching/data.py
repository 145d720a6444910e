"""Data of flow matching: labelled images, or the teacher's pairs for reflow."""

from data_pipelines.contract.pipeline import DataPipeline
from data_pipelines.images.pipeline import ImagePipeline
from trainables.workloads.flow_matching.config import FlowMatchingConfig
from trainables.workloads.flow_matching.reflow.pipeline import ReflowPipeline


def build_pipeline(config: FlowMatchingConfig) -> DataPipeline:
    """Build the pipeline of labelled images, or of the teacher's pairs for reflow."""
    images = ImagePipeline(config.data)
    return images if config.reflow is None else ReflowPipeline(config.reflow, images)
