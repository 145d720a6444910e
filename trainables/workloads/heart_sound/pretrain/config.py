"""Settings of the first stage: hierarchical contrastive learning on unlabelled heart sounds."""

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config
from data_pipelines.heart_sounds.config import PretrainData
from trainables.contract.workload_config import Mode, WorkloadConfig
from trainables.workloads.heart_sound.networks.config import EncoderConfig


class Contrast(Config):
    """Settings of the two losses: on complete cycles, and on their sub-structures."""

    temperature: float = Field(default=0.07, gt=0)
    """Divides the similarities."""
    sub_weight: float = Field(default=1.0, ge=0)
    """Weight of the loss of sub-structures; 0 leaves it out, with its projector."""
    num_parts: int = Field(default=4, ge=2, le=16)
    """Equal parts of a cycle; four correspond to S1, systole, S2 and diastole."""
    aligns_parts: bool = True
    """Compare k-th parts only with k-th parts."""
    masks_same_subject: bool = False
    """Exclude cycles of the same subject from the negatives."""


class PretrainConfig(WorkloadConfig):
    """Settings of SimCLR's loss (Chen et al. 2020) on heart cycles and on their sub-structures."""

    name: Literal["heart_sound_pretrain"] = "heart_sound_pretrain"
    data: PretrainData = PretrainData()
    encoder: EncoderConfig = EncoderConfig()
    contrast: Contrast = Contrast()
    validation_size: int = Field(default=64, ge=2)
    """Cycles that are compared with each other in `val/loss`, whatever the batch size."""

    @model_validator(mode="after")
    def _has_no_labels(self) -> Self:
        if self.data.shot_ratio != 1 or self.data.balances_classes or self.data.held_out_database:
            raise ValueError(
                "`shot_ratio`, `balances_classes` and `held_out_database` need labels, which pretraining has not; "
                "`withheld_tasks` keeps the test subjects of tasks out"
            )
        if self.data.fold is not None and not self.data.withheld_tasks:
            raise ValueError("`fold` chooses the test subjects of `withheld_tasks`, and none are named")
        if self.data.cycles_per_bag > 1:
            raise ValueError("`data.cycles_per_bag` is for fine-tuning only, with `pooling.cycles` attention")
        if self.data.num_samples % self.contrast.num_parts:
            raise ValueError(
                f"`contrast.num_parts` ({self.contrast.num_parts}) must divide `data.num_samples` "
                f"({self.data.num_samples})"
            )
        return self

    @property
    def run_name_parts(self) -> tuple[str, ...]:
        """For example `heart_sound_pretrain`, `mamba`, `sub1`."""
        return (self.name, self.encoder.sequence, f"sub{self.contrast.sub_weight:g}")

    @property
    def selectable(self) -> Mapping[str, Mode]:
        """The contrastive loss of subjects that are not trained on, or how often their views are matched."""
        return {"val/loss": "min", "val/retrieval_accuracy": "max"}
