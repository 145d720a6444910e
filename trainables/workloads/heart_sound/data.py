"""Data pipelines of both heart-sound stages, built from their settings."""

from data_pipelines.heart_sounds.pipeline import HeartPipeline
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.heart_sound.pretrain.config import PretrainConfig


def build_pretrain_pipeline(config: PretrainConfig) -> HeartPipeline:
    """Build the pipeline of unlabelled cycles in two views."""
    return HeartPipeline(config.data, None)


def build_finetune_pipeline(config: FinetuneConfig) -> HeartPipeline:
    """Build the pipeline of labelled cycles."""
    return HeartPipeline(config.data, config.task)
