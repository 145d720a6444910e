"""Settings of the two stages: what each takes, and its own defaults."""

from typing import Any

import pytest
from pydantic import ValidationError

from data_pipelines.heart_sounds.config import Augmentation, StrongAugmentation
from trainables.workloads.heart_sound.finetune.config import ClassLoss, FinetuneConfig
from trainables.workloads.heart_sound.pretrain.config import PretrainConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": {"filters_cycles": True}}, "`data.filters_cycles` is for pretraining only"),
        ({"data": {"withheld_tasks": ["pascal"]}}, "`data.withheld_tasks` is for pretraining only"),
        ({"task": "pascal", "data": {"held_out_database": "a"}}, "is for the task physionet2016, and this is pascal"),
    ],
)
def test_settings_of_the_other_stage_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        FinetuneConfig.model_validate(settings)


def test_given_settings_keep_the_other_pretraining_defaults():
    data = PretrainConfig.model_validate({"data": {"sample_rate": 2000}}).data
    assert (data.sample_rate, data.val_ratio, data.filters_cycles) == (2000, 0.1, True)
    assert data.augmentation == StrongAugmentation()


@pytest.mark.parametrize(
    ("config", "augmentation"), [(PretrainConfig, StrongAugmentation), (FinetuneConfig, Augmentation)]
)
def test_one_given_setting_keeps_a_stages_other_augmentation(config: Any, augmentation: Any):
    found = config.model_validate({"data": {"augmentation": {"shift_ratio": 0.2}}}).data.augmentation
    assert found == augmentation(shift_ratio=0.2)
    assert StrongAugmentation().time_mask_probability > 0 == Augmentation().time_mask_probability


def test_pretraining_refuses_labels_and_indivisible_parts():
    with pytest.raises(ValidationError, match="need labels"):
        PretrainConfig.model_validate({"data": {"shot_ratio": 0.5}})
    with pytest.raises(ValidationError, match="`fold` chooses the test subjects of `withheld_tasks`, and none"):
        PretrainConfig.model_validate({"data": {"fold": 1, "num_folds": 3}})
    with pytest.raises(ValidationError, match=r"`contrast.num_parts` \(3\) must divide"):
        PretrainConfig.model_validate({"contrast": {"num_parts": 3}})
    with pytest.raises(ValidationError, match="set `label_smoothing` to 0"):
        ClassLoss(focal_gamma=2)
    with pytest.raises(ValidationError, match=r"`focal_gamma` is 0\.5; give 0 or at least 1"):
        ClassLoss(focal_gamma=0.5, label_smoothing=0)
