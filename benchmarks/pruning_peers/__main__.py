"""Criteria of ours against Torch-Pruning's group norm on published ResNets, at equal multiply-accumulates.

python -m benchmarks.pruning_peers --data cifar-10-batches-py --weights res20s=resnet20-12fca82f.th [--epochs 3]

Each network is pruned once, to at most a share of its multiply-accumulates: inside the blocks alone, or its residual
streams too. Torch-Pruning finds its ratio by bisection as we do our rate; it takes the same share of all layers, or
compares the units of all layers together, as `--sorting` does with ours. All choices are built by the same code and
judged by the same test rows right after removal. Then our best criterion and theirs, in each sorting, are trained alike
for some epochs on the training rows with the same seeds: what is best right after removal need not be so later.
Torch-Pruning has an environment of its own, made on the first call.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.peer_environment import DEFAULT, find_python
from benchmarks.pruning_peers.networks import load_published, share_of
from benchmarks.pruning_peers.ours import choose
from benchmarks.pruning_peers.table import PEER, format_table
from benchmarks.pruning_peers.training import measure_accuracy, train
from benchmarks.results import save_results
from benchmarks.watched import run_module
from data_pipelines.contract.pipeline import Split
from data_pipelines.images.cifar10 import find_cifar10
from trainables.workloads.pruning.selection.physical_removal import remove_units

PINS, PACKAGES = ("torch-pruning==1.6.1",), ("torch_pruning",)
CRITERIA = ("magnitude", "l1", "l2", "saliency", "taylor", "hessian", "group_l2", "bn_scale")
SORTING = ("layer-wise", "uniform", "global")
PEER_SORTING = {"uniform": False, "global": True}
"""Of the peer: whether it compares the units of all layers together."""
Rows = tuple[Tensor, Tensor]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the CIFAR-10 pickles")
    parser.add_argument("--weights", nargs="+", required=True, help="for example res20s=resnet20-12fca82f.th")
    parser.add_argument("--criteria", nargs="+", choices=CRITERIA, default=CRITERIA)
    parser.add_argument("--sorting", nargs="+", choices=SORTING, default=SORTING)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.75, 0.5])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peer-env", type=Path, default=DEFAULT)
    options = parser.parse_args()
    python, fault = find_python(options.peer_env, PINS, PACKAGES)
    if python is None:
        parser.error(f"{', '.join(PINS)} {fault}")
    train_rows, test_rows = (_read(options.data, split) for split in ("train", "test"))
    for each in options.weights:
        arch, _, weights = each.partition("=")
        comparison = Comparison(arch, Path(weights), train_rows, test_rows, python=str(python), sorting=options.sorting)
        for found in comparison.measure(options.shares, options.criteria, options.epochs, options.seeds):
            save_results("pruning_peers", {arch: found}, keeps_others=True)
            print(f"\n{format_table({arch: found})}\n", flush=True)


class Comparison:
    """One published network and the rows that it is measured on."""

    def __init__(
        self, arch: str, weights: Path, train_rows: Rows, test_rows: Rows, *, python: str, sorting: Sequence[str]
    ) -> None:
        self._arch, self._weights, self._python, self._sorting = arch, weights, python, sorting
        self._train_rows, self._test_rows = train_rows, test_rows
        self._network, self._blueprint = load_published(arch, weights)

    def measure(
        self, shares: list[float], criteria: Sequence[str], epochs: int, num_seeds: int
    ) -> Iterator[dict[str, Any]]:
        """Judge all choices, then train the best of each side; yields after each place what was found so far."""
        began = time.monotonic()
        common = {
            "dense": measure_accuracy(self._network, *self._test_rows),
            "num_test": len(self._test_rows[1]),
            "num_train": len(self._train_rows[1]),
            "epochs": epochs,
        }
        entries: list[dict[str, Any]] = []
        to_train: list[dict[str, Any]] = []

        def found() -> dict[str, Any]:
            plain = [{name: value for name, value in entry.items() if name != "kept"} for entry in entries]
            return {**common, "seconds": time.monotonic() - began, "entries": plain}

        for share in shares:
            for residual in (False, True):
                place = {"share": share, "prunes_residual": residual}
                ours = [
                    self._judge(name, mode, self._choose(name, sorting_mode=mode, **place), place)
                    for name in criteria
                    for mode in self._sorting
                ]
                best = max(ours, key=lambda entry: entry["accuracy"])["name"]
                theirs = [self._judge(PEER, mode, kept, place) for mode, kept in self._ask_peer(place).items()]
                entries += [*ours, *theirs]
                to_train += [*(entry for entry in ours if entry["name"] == best), *theirs]
                yield found()
        for entry in to_train if epochs else ():
            entry["trained"] = [self._train(entry["kept"], epochs, seed) for seed in range(num_seeds)]
            yield found()

    def _ask_peer(self, place: dict[str, Any]) -> dict[str, dict[str, list[int]]]:
        """Return the peer's choices by its ways of sorting."""
        common = {"arch": self._arch, "weights": str(self._weights.resolve()), **place}
        questions = [{**common, "is_global": is_global} for is_global in PEER_SORTING.values()]
        answers = run_module("benchmarks.pruning_peers.peer", {"questions": questions}, python=self._python)["answers"]
        return dict(zip(PEER_SORTING, answers, strict=True))

    def _choose(self, criterion: str, **settings: Any) -> dict[str, list[int]]:
        return choose(self._network, self._blueprint, *self._train_rows, criteria=criterion, **settings)

    def _judge(self, name: str, mode: str, kept: dict[str, list[int]], place: dict[str, Any]) -> dict[str, Any]:
        pruned, _ = remove_units(self._network, self._blueprint, kept)
        accuracy = measure_accuracy(pruned, *self._test_rows)
        macs_share = share_of(self._blueprint, kept)
        print(f"{self._arch} {name}, {mode}: {100 * macs_share:.1f} % of the MACs, {accuracy:.1f} %", flush=True)
        return {**place, "name": name, "sorting": mode, "macs_share": macs_share, "accuracy": accuracy, "kept": kept}

    def _train(self, kept: dict[str, list[int]], epochs: int, seed: int) -> float:
        pruned, _ = remove_units(self._network, self._blueprint, kept)
        return measure_accuracy(train(pruned, *self._train_rows, epochs=epochs, seed=seed), *self._test_rows)


def _read(folder: Path, split: Split) -> Rows:
    parts = list(find_cifar10(folder).read(split, 0))
    images = torch.cat([torch.from_numpy(part.images.copy()) for part in parts])
    return images, torch.cat([torch.from_numpy(part.labels.copy()).long() for part in parts])


if __name__ == "__main__":
    main()
