"""Data pipeline of video prediction: frames, or stored latents."""

from data_pipelines.contract.pipeline import DataPipeline
from data_pipelines.video.pipeline import VideoPipeline
from trainables.workloads.video_prediction.config import VideoPredictionConfig
from trainables.workloads.video_prediction.spaces.latent_clips import LatentPipeline


def build_pipeline(config: VideoPredictionConfig) -> DataPipeline:
    """Build the pipeline of clips with random windows, of frames or of stored latents."""
    if config.latents is not None and config.latents.is_stored:
        return LatentPipeline(config.latents, config.data)
    return VideoPipeline(config.data)
