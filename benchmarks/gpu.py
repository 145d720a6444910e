"""The ladder on one GPU, at full size: the flow-matching U-Net of 27.1M parameters, and the video DiT in its sizes.

python -m benchmarks.gpu [--case unet dit_S ...] [--layers L0 L2 L3] [--repeats 3] [--blocks 10]

Every case in float32, in bfloat16, and compiled in bfloat16; batches travel through pinned memory. Prints samples a
second (images, or windows of a clip), the share of the bare loop's speed, and how busy NVML says the GPU was.
"""

import argparse
import statistics
from functools import partial
from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.ladder import LAYERS, climb, step_s
from benchmarks.results import save_results
from benchmarks.synthetic import write_cifar10_like, write_moving_mnist_like

DIT_SIZES = ("S", "B", "L")
MODES: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}
UNET = Case(
    write_cifar10_like,
    50_000,
    {
        "name": "flow_matching",
        "data": {"source": "cifar10", "horizontal_flip": True},
        "pictures": {"num_per_class": 1, "sampling": {"nfe": 1}, "comparisons": []},
        "evaluation": {"num_samples": 64, "sampling": {"nfe": 1, "guidance": 1.0}},
    },
    batch_size=128,
)


def build_dit(size: str) -> Case:
    """The video DiT of one size on clips of 20 frames of 64 x 64."""
    network = {"name": "dit", "size": size, "patch_size": 8}
    workload = {"name": "video_prediction", "data": {"source": "moving_mnist"}, "network": network}
    return Case(
        write_moving_mnist_like, 2000, {**workload, "evaluation": {"sampling": {"num_steps": 1}}}, batch_size=32
    )


CASES = {"unet": lambda: UNET, **{f"dit_{size}": partial(build_dit, size) for size in DIT_SIZES}}


def main() -> None:
    """Print the table. Raises SystemExit where there is no GPU."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--case", nargs="+", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--layers", nargs="+", choices=list(LAYERS), default=["L0", "L1", "L2", "L3"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=10)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU here; for the CPU there is `python -m benchmarks.ladder`")
    found: dict[str, Any] = {}
    for name in options.case:
        for mode, training in MODES.items():
            case = CASES[name]()
            runs = climb(case, options.layers, options.repeats, options.blocks, training)
            found[f"{name}, {mode}"] = {"batch_size": case.batch_size, "runs": runs}
            save_results("gpu", found)
            print(f"{name}, {mode}: measured", flush=True)
    print(format_table(found))


def format_table(found: dict[str, dict[str, Any]]) -> str:
    """A row for each layer of each case."""
    lines = ["| case | layer | speed | of the first layer | GPU busy |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(row for name, case in found.items() for row in _format_rows(name, **case))])


def _format_rows(name: str, batch_size: int, runs: dict[str, list[dict[str, Any]]]) -> list[str]:
    steps = {layer: step_s(of) for layer, of in runs.items()}
    limit, rows = next(iter(steps.values())), []
    for layer, step in steps.items():
        busy = [run["gpu_percent"] for run in runs[layer] if run["gpu_percent"] is not None]
        cells = [name, layer, f"{batch_size / step:,.0f} samples/s", f"{100 * limit / step:.1f} %"]
        rows.append(f"| {' | '.join([*cells, f'{statistics.fmean(busy):.0f} %' if busy else 'unknown'])} |")
    return rows


if __name__ == "__main__":
    main()
