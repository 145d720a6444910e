"""Checkpoints of a large state beside a training: how long the training waits, and what its steps take meanwhile.

python -m benchmarks.checkpoints [--gib 3] [--saves 3]

The state is made up: weights, their average and two moments, in tensors of 32 MiB. A step multiplies matrices for some
tens of milliseconds and changes some of the weights. Each save copies the state, which is what the training waits for,
and writes it in a thread; steps go on until it is written, and for five seconds before and after. The memory of the
copies is taken before the first, as a run does after its first steps. The command fails when a copy takes more than a
tenth of its writing. The last row writes while nothing else goes on, and waits, as all checkpoints did once.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import save_results
from data_pipelines.storage.folder import Folder
from trainables.engine.files.checkpoint_writer import CheckpointWriter
from trainables.engine.files.checkpoints import Checkpoint, deleted_by_nobody, find_checkpoint
from trainables.engine.process.malloc_settings import set_malloc_thresholds
from trainables.run_paths import step_name

MOST = 0.1
TENSOR_BYTES = 32 * 2**20
WIDTH = 1024
QUIET_S = 5.0
"""Seconds of steps before and after a save."""


def main() -> None:
    """Print the table; exit code 1 when a save blocks the training for more than a tenth of its writing."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--gib", type=float, default=3.0, help="size of the state")
    parser.add_argument("--saves", type=int, default=3)
    options = parser.parse_args()
    set_malloc_thresholds()
    with tempfile.TemporaryDirectory(prefix="quintet-bench-", dir=".") as temporary:
        found = {"gib": options.gib, "saves": measure(Folder(str(Path(temporary).absolute())), options)}
    print(format_table(found))
    save_results("checkpoints", found)
    beside = [each for each in found["saves"] if "blocked_s" in each]
    sys.exit(int(any(each["blocked_s"] > MOST * each["write_s"] for each in beside)))


def measure(folder: Folder, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the seconds of each save, and of one without a training beside it."""
    torch.manual_seed(0)
    state = make_state(int(options.gib * 2**30))
    writer = CheckpointWriter(folder, 1, deleted_by_nobody, is_beside=True)
    writer.reserve(state)
    found: list[dict[str, Any]] = [save_beside(writer, state, step) for step in range(1, options.saves + 1)]
    began = time.perf_counter()
    CheckpointWriter(folder, 1, deleted_by_nobody, is_beside=False).save(options.saves + 1, state, {})
    found.append({"write_s": time.perf_counter() - began})
    assert find_checkpoint(folder) == (f"checkpoints/{step_name(options.saves + 1)}", [])
    return found


def save_beside(writer: CheckpointWriter, state: Checkpoint, step: int) -> dict[str, Any]:
    """Return the seconds that one save blocks and takes, and the median ones of steps before, meanwhile and after."""
    before = time_quiet_steps(state)
    began = time.perf_counter()
    writer.save(step, state, {})
    blocked = time.perf_counter() - began
    during = time_steps(state, lambda: not writer.take())
    written = time.perf_counter() - began - blocked
    after = time_quiet_steps(state)
    return {"blocked_s": blocked, "write_s": written, "before_s": before, "during_s": during, "after_s": after}


def make_state(num_bytes: int) -> Checkpoint:
    """Return a state of so many bytes: a quarter each of weights, average and two moments."""
    count = num_bytes // TENSOR_BYTES // 4
    parts = [{f"layer.{number}": torch.randn(TENSOR_BYTES // 4) for number in range(count)} for _ in range(4)]
    moments = {
        number: {"exp_avg": parts[2][name], "exp_avg_sq": parts[3][name]} for number, name in enumerate(parts[0])
    }
    return Checkpoint(parts[0], parts[1], {"learner": {"optimizer": {"state": moments}}}, b"")


def time_quiet_steps(state: Checkpoint) -> float:
    """Return the median seconds of steps while nothing is written."""
    end = time.perf_counter() + QUIET_S
    return time_steps(state, lambda: time.perf_counter() < end)


def time_steps(state: Checkpoint, goes_on: Callable[[], bool]) -> float:
    """Return the median seconds of the steps that are taken while `goes_on` says so."""
    left, right = torch.randn(WIDTH, WIDTH), torch.randn(WIDTH, WIDTH)
    weights, seconds = list(state.model.values()), []
    while goes_on():
        began = time.perf_counter()
        for _ in range(5):
            torch.mm(left, right)
        weights[len(seconds) % len(weights)].mul_(0.999)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def format_table(found: dict[str, Any]) -> str:
    """Return a row for each save."""
    lines = [
        f"| {found['gib']:g} GiB | training waits | written in | share | MiB/s | a step before | meanwhile | after |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, each in enumerate(found["saves"], 1):
        rate, written = f"{found['gib'] * 1024 / each['write_s']:.0f}", f"{each['write_s']:.1f} s"
        if "blocked_s" not in each:
            lines.append(f"| waits for all | {written} | {written} | | {rate} | | | |")
            continue
        blocked, share = f"{each['blocked_s']:.2f} s", f"{each['blocked_s'] / each['write_s']:.1%}"
        times = [f"{each[name] * 1000:.1f} ms" for name in ("before_s", "during_s", "after_s")]
        lines.append(f"| save {number} | {blocked} | {written} | {share} | {rate} | {' | '.join(times)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
