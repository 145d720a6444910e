"""System metrics of a training worker's machine, sampled by a thread of the worker."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Self

import psutil
import pynvml
import torch

logger = logging.getLogger(__name__)
PERIOD_S = 2.0
MIB = 2**20

Sample = dict[str, float]


class SystemMonitor:
    """Sampler that runs inside a `with` block; `lap` gives the means since the last lap (memory: the largest value).

    CPU percentages count one core as 100; `node_` values are of the complete machine, `gpu_` values of the worker's
    GPU.
    """

    def __init__(self, device: torch.device, *, period_s: float = PERIOD_S):
        self._period_s = period_s
        self._process = psutil.Process()
        self._read_gpu = find_gpu_reader(device)
        self._samples: list[Sample] = []
        self._has_sampled = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._process.cpu_percent()  # the first call has nothing to compare with
        psutil.cpu_percent()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._period_s):
            sample = self.sample()
            with self._lock:
                self._samples.append(sample)

    def sample(self) -> Sample:
        """Return the values at this moment; CPU percentages are since the last sample."""
        return {
            "process_cpu_percent": self._process.cpu_percent(),
            "process_memory_mib": self._process.memory_info().rss / MIB,
            "node_cpu_percent": psutil.cpu_percent() * (psutil.cpu_count() or 1),
            "node_memory_mib": psutil.virtual_memory().used / MIB,
            **self._read_gpu(),
        }

    def lap(self) -> Sample:
        """Return the values since the last lap; empty when there is no new sample.

        The first lap can take one itself.
        """
        if not self._has_sampled and not self._samples:
            self._samples.append(self.sample())
        self._has_sampled = True
        with self._lock:
            samples, self._samples = self._samples, []
        return {name: _combine(name, [sample[name] for sample in samples]) for name in (samples[0] if samples else ())}


def _combine(name: str, values: list[float]) -> float:
    return max(values) if name.endswith("_mib") else sum(values) / len(values)


def find_gpu_reader(device: torch.device) -> Callable[[], Sample]:
    """Return a function that reads utilisation and used memory of an NVIDIA GPU; on other devices it returns no values.

    NVML does not know slices of a GPU (MIG) by their parent's id. There, and without NVML, only memory is read, and a
    warning is logged once.
    """
    if device.type != "cuda":
        return dict

    def read_memory() -> Sample:
        free, total = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device)
        return {"gpu_memory_mib": (total - free) / MIB, "gpu_memory_reserved_mib": reserved / MIB}

    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid.encode())
        pynvml.nvmlDeviceGetUtilizationRates(handle)
    except pynvml.NVMLError as error:
        logger.warning("the GPU's utilisation is not recorded: NVML reports %s for %s", error, uuid)
        return read_memory

    def read() -> Sample:
        return {"gpu_utilization_percent": float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu), **read_memory()}

    return read


def name_samples(by_rank: Mapping[int, Sample]) -> Sample:
    """Return every rank's values in one dict, under names such as `system/rank_0/process_cpu_percent`."""
    return {f"system/rank_{rank}/{name}": value for rank, sample in by_rank.items() for name, value in sample.items()}
