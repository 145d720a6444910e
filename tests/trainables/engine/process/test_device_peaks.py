"""Peaks of GPUs by their names."""

import pytest
import torch

from trainables.engine.loop.throughput import find_peak

GPU = torch.device("cuda", 0)


@pytest.mark.parametrize(
    "name, precision, products, peak",
    [
        ("NVIDIA H100 80GB HBM3", "bf16", "highest", 989.5e12),
        ("NVIDIA H100 PCIe", "fp16", "highest", 756.5e12),
        ("NVIDIA A100-SXM4-80GB", "fp32", "highest", 19.5e12),
        ("NVIDIA A100 80GB PCIe", "fp32", "high", 156e12),
        ("NVIDIA L4", "bf16", "highest", 121e12),
        ("Tesla T4", "fp16", "high", 65e12),
    ],
)
def test_a_peak_is_that_of_the_data_sheet(monkeypatch, name, precision, products, peak):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: products)
    assert find_peak(GPU, precision) == peak


@pytest.mark.parametrize(
    "name", ["NVIDIA A100-SXM4-40GB MIG 1g.5gb", "NVIDIA RTX A1000", "NVIDIA H100 NVL", "Tesla T4"]
)
def test_an_unknown_peak_is_absent_and_that_is_said(monkeypatch, caplog, name):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert find_peak(GPU, "bf16") is None
    assert [record.getMessage() for record in caplog.records] == [
        f"system/mfu is not recorded, as the peak of {name} in bf16 is not known"
    ]


def test_the_cpu_has_no_peak_and_no_word(caplog):
    assert find_peak(torch.device("cpu"), "fp32") is None and not caplog.records
