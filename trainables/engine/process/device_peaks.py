"""Peak speeds of GPUs in dense FLOP/s, as their maker gives them."""

import logging
import re

import torch

from trainables.contract.training_config import Precision

logger = logging.getLogger(__name__)

TERA = 1e12
PEAKS: dict[str, dict[str, float]] = {
    "NVIDIA H200": {"bf16": 989.5, "fp16": 989.5, "tf32": 494.7, "fp32": 66.9},
    "NVIDIA H100 80GB HBM3": {"bf16": 989.5, "fp16": 989.5, "tf32": 494.7, "fp32": 66.9},
    "NVIDIA H100 PCIe": {"bf16": 756.5, "fp16": 756.5, "tf32": 378.0, "fp32": 51.2},
    "NVIDIA A100.*GB( PCIe)?": {"bf16": 312.0, "fp16": 312.0, "tf32": 156.0, "fp32": 19.5},
    "NVIDIA L40S": {"bf16": 362.0, "fp16": 362.0, "tf32": 183.2, "fp32": 91.6},
    "NVIDIA L4": {"bf16": 121.0, "fp16": 121.0, "tf32": 60.0, "fp32": 30.3},
    "(NVIDIA|Tesla) T4": {"fp16": 65.0, "fp32": 8.1},
    "(NVIDIA|Tesla) V100-SXM2.*GB": {"fp16": 125.0, "fp32": 15.7},
}
"""TFLOP/s by a pattern of the device's name, without the doubling for sparse weights. Source: NVIDIA's data sheets of
these products. A slice of a GPU (MIG) has a name of its own, and is not among them."""


def find_peak(device: torch.device, precision: Precision) -> float | None:
    """Return a device's peak in FLOP/s; None on the CPU, and for a GPU that is not in the table, which is logged."""
    if device.type != "cuda":
        return None
    name, kind = torch.cuda.get_device_name(device), precision
    if precision == "fp32" and torch.get_float32_matmul_precision() != "highest":
        kind = "tf32"
    for pattern, peaks in PEAKS.items():
        if re.fullmatch(pattern, name) and kind in peaks:
            return peaks[kind] * TERA
    logger.warning("system/mfu is not recorded, as the peak of %s in %s is not known", name, kind)
    return None
