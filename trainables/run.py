"""Run: everything that decides the trained weights; Scaling: the number of processes that train."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from data_pipelines.contract.config import Config, place_free
from trainables.contract.training_config import Training
from trainables.workloads import AnyWorkload

ConfigT = TypeVar("ConfigT", bound=Config)
SHAPELESS = ("profile", "activation_checkpointing")
"""Settings of the training that leave the weights as they are, and may change when a run is resumed."""


class Run(Config):
    """Settings of one training; two runs with the same settings give the same result."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Of everything random."""
    workload: AnyWorkload
    training: Training

    @model_validator(mode="after")
    def _workload_can_be_trained_so(self) -> Self:
        self.workload.check_training(self.training)
        return self

    @property
    def shaping(self) -> dict[str, Any]:
        """Settings of `Run` that shape the result, as plain data.

        Without places of data and models, and without `SHAPELESS` settings of the training.
        """
        settings = {name: value for name, value in place_free(self).items() if name in Run.model_fields}
        training = {key: each for key, each in settings["training"].items() if key not in SHAPELESS}
        return settings | {"training": training}

    @property
    def digest(self) -> str:
        """Eight hex digits over `shaping`: the same settings have the same digest in every start."""
        return hashlib.sha256(json.dumps(self.shaping, sort_keys=True).encode()).hexdigest()[:8]

    def override(self, changes: Mapping[str, Any]) -> Self:
        """Return a re-validated copy with dotted settings replaced, for example `{"training.epochs": 5}`."""
        settings = self.model_dump(mode="json")
        for dotted, value in changes.items():
            set_dotted(settings, dotted, value)
        return validate_strictly(type(self), settings)


class Scaling(Config):
    """The training workers."""

    num_workers: int = Field(default=1, ge=0, le=4096)
    """0 trains in the driver's own process, without Ray."""
    min_workers: int | None = Field(default=None, ge=1)
    """Resume with fewer workers, down to this many, when machines are missing, and with more again once they are
    there, from the last checkpoint. The batch size over all workers stays, so each of fewer workers takes more of it
    at a time: choose `training.accumulate` such that it has the memory. null: never fewer than `num_workers`."""
    use_gpu: bool | None = None
    """null: when the cluster has GPUs."""
    cpus_per_worker: float = Field(default=1.0, gt=0)
    """CPUs that Ray keeps for each worker."""
    gpus_per_worker: float = Field(default=1.0, gt=0)
    """GPUs of each worker, where GPUs are used; a share of one lets workers share it."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """ddp: each worker holds all weights, gradients and moments; fsdp: a part of them, for networks that do not fit one
    device (fully sharded data parallelism). Both give the same weights, and each resumes the other's checkpoints."""
    memory_per_worker: float | None = Field(default=None, gt=0)
    """GiB of a machine's memory that Ray keeps for each worker; null: none is kept."""
    accelerator_type: str | None = Field(default=None, pattern=r"[^\s:]+")
    """Workers are placed on machines with this accelerator, by Ray's name of it: `A100`, `H100`, `T4`."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Workers are placed on machines with these labels (`ray start --labels`); a value may be `!a`, `in(a,b)` or
    `!in(a,b)`."""
    placement_strategy: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    """Whether workers share as few machines as possible or as many; the strict ones refuse any other placement."""
    wait_for_nodes_s: int = Field(default=0, ge=0)
    """On a cluster that grows: how long to wait for missing machines, at the start and after a loss, before the run is
    refused or, with `min_workers`, resumes with those that are there. Needs `use_gpu`. 0: do not wait."""
    read_tasks: int = Field(default=2, ge=0, le=256)
    """Shards that Ray Data reads and decodes at the same time for each worker, on any machine of the cluster. 0: each
    worker reads streamed data itself, in `read_threads`, which is quickest where decoding costs little."""
    read_threads: int = Field(default=2, ge=1, le=64)
    """Shards that a worker decodes at the same time when it reads for itself, as without Ray."""
    threads_per_worker: int | None = Field(default=None, ge=1)
    """torch threads; by default the cores of the (largest) machine divided by the workers, and at least
    `cpus_per_worker`. The last bit of a CPU result depends on it, so a resumed run keeps the number it began with."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.wait_for_nodes_s and self.use_gpu is None:
            raise ValueError("wait_for_nodes_s needs use_gpu=true or false: what is still to come cannot be seen")
        if self.min_workers and self.min_workers > self.num_workers:
            raise ValueError(f"min_workers={self.min_workers} is more than num_workers={self.num_workers}")
        return self

    def worker_resources(self, uses_gpu: bool) -> dict[str, float]:
        """Return the resources of one worker by Ray's names; memory is in bytes."""
        found = {"CPU": self.cpus_per_worker}
        if uses_gpu:
            found["GPU"] = self.gpus_per_worker
        if self.memory_per_worker:
            found["memory"] = float(int(self.memory_per_worker * 2**30))
        if self.accelerator_type:
            found[f"accelerator_type:{self.accelerator_type}"] = 0.001  # as Ray itself asks for it
        return found


def set_dotted(settings: dict[str, Any], dotted: str, value: Any) -> None:
    """Replace one nested setting in place; missing or null sections on the way are made."""
    *sections, last = dotted.split(".")
    for section in sections:
        inner = settings.get(section)
        if not isinstance(inner, dict):
            inner = settings[section] = {}
        settings = inner
    settings[last] = value


def validate_strictly(config_class: type[ConfigT], settings: Mapping[str, Any]) -> ConfigT:
    """Validate settings as YAML or JSON gives them, without conversions: "3" is no number and 1 is no boolean."""
    return config_class.model_validate_json(json.dumps(settings), strict=True)
