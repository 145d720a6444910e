"""What a worker's machine does, sampled by a thread."""

import time
from types import SimpleNamespace

import pynvml
import pytest
import torch

from trainables.engine.process.system_monitor import SystemMonitor, find_gpu_reader, name_samples

CPU = torch.device("cpu")


def test_a_busy_process_shows_its_cpu_and_memory():
    began, used = time.monotonic(), time.process_time()
    with SystemMonitor(CPU, period_s=0.05) as monitor:
        while time.process_time() < used + 0.4:
            sum(range(1000))
        lap = monitor.lap()
    share = (time.process_time() - used) / (time.monotonic() - began)  # less than one when others want the core
    assert 40 * share < lap["process_cpu_percent"] < 250 * share
    assert lap["process_memory_mib"] > 50 and lap["node_memory_mib"] > lap["process_memory_mib"] / 2
    assert lap["node_cpu_percent"] >= 0


def test_a_lap_without_a_new_sample_has_no_values():
    with SystemMonitor(CPU, period_s=60.0) as monitor:
        assert "process_memory_mib" in monitor.lap()
        assert monitor.lap() == {}


def test_a_lap_is_the_mean_of_percentages_and_the_largest_memory(monkeypatch):
    monitor = SystemMonitor(CPU)
    monitor._samples = [{"a_percent": 10.0, "b_mib": 5.0}, {"a_percent": 30.0, "b_mib": 4.0}]
    assert monitor.lap() == {"a_percent": 20.0, "b_mib": 5.0}


def test_its_thread_ends_with_the_block():
    with SystemMonitor(CPU, period_s=0.01) as monitor:
        pass
    assert not monitor._thread.is_alive()


def test_every_rank_has_names_of_its_own():
    assert name_samples({0: {"x": 1.0}, 3: {"x": 2.0}}) == {"system/rank_0/x": 1.0, "system/rank_3/x": 2.0}


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of which 3 of 4 GiB are used; returns the ids that NVML was asked for."""
    asked: list[bytes] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1-2-3"))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 2**30)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 4 * 2**30))
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", asked.append)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUtilizationRates", lambda handle: SimpleNamespace(gpu=87))
    return asked


MEMORY = {"gpu_memory_mib": 3072.0, "gpu_memory_reserved_mib": 1024.0}


def test_a_gpu_is_found_by_its_uuid(gpu):
    assert find_gpu_reader(torch.device("cuda", 0))() == {"gpu_utilization_percent": 87.0, **MEMORY}
    assert gpu == [b"GPU-1-2-3"]


def test_without_nvml_memory_is_read_and_that_is_said(gpu, monkeypatch, caplog):
    def fail() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert find_gpu_reader(torch.device("cuda", 0))() == MEMORY
    assert "the GPU's utilisation is not recorded" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_real_gpu_is_read():
    sample = find_gpu_reader(torch.device("cuda", 0))()
    assert sample["gpu_memory_mib"] > 0
