"""THE REGISTER of workloads: a new one is a folder beside this file and one line in `WORKLOADS`."""

import json
from importlib import import_module
from typing import Annotated, Any

from pydantic import PlainValidator, SerializeAsAny, ValidationInfo, WithJsonSchema

from data_pipelines.nearest import one_of
from trainables.config import WorkloadConfig

WORKLOADS = {
    "flow_matching": "trainables.workloads.flow_matching.config:FlowMatchingConfig",
    "super_resolution": "trainables.workloads.super_resolution.config:SuperResolutionConfig",
    "video_prediction": "trainables.workloads.video_prediction.config:VideoPredictionConfig",
    "pruning": "trainables.workloads.pruning.config:PruningConfig",
    "heart_sound_pretrain": "trainables.workloads.heart_sound.pretrain_config:PretrainConfig",
    "heart_sound_finetune": "trainables.workloads.heart_sound.finetune_config:FinetuneConfig",
}


def workload_class(name: str) -> type[WorkloadConfig]:
    """The settings class of a registered workload; imports only that workload."""
    if name not in WORKLOADS:
        raise ValueError(f"{name!r} is not a workload; {one_of(name, WORKLOADS)}")
    module, _, class_name = WORKLOADS[name].partition(":")
    return getattr(import_module(module), class_name)


def _validate(value: Any, info: ValidationInfo) -> WorkloadConfig:
    if isinstance(value, WorkloadConfig):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise ValueError(f"a workload needs its `name`; one of {', '.join(WORKLOADS)}")
    config_class = workload_class(value["name"])
    if info.mode == "json":
        return config_class.model_validate_json(json.dumps(value), strict=True)
    return config_class.model_validate(value)


AnyWorkload = Annotated[SerializeAsAny[WorkloadConfig], PlainValidator(_validate), WithJsonSchema({"type": "object"})]
