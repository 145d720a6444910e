"""From settings to the data of both stages of heart sounds."""

from data_pipelines.heart_sounds.pipeline import HeartPipeline
from trainables.workloads.heart_sound.finetune.config import FinetuneConfig
from trainables.workloads.heart_sound.pretrain.config import PretrainConfig


def build_pretrain_pipeline(config: PretrainConfig) -> HeartPipeline:
    """Unlabelled cycles in two views."""
    return HeartPipeline(config.data, None)


def build_finetune_pipeline(config: FinetuneConfig) -> HeartPipeline:
    """Labelled cycles."""
    return HeartPipeline(config.data, config.task)
