"""The table of the comparison with Torch-Pruning."""

import statistics
from typing import Any

PEER = "Torch-Pruning"
PLACES = {False: "inside the blocks", True: "residual streams too"}


def format_table(figures: dict[str, Any]) -> str:
    """Accuracies right after removal, and after training: all that were trained, of other criteria the best sorting."""
    return "\n\n".join(_format_network(arch, found) for arch, found in figures.items())


def _format_network(arch: str, found: dict[str, Any]) -> str:
    head = (
        f"{arch}: {found['dense']:.1f} % of {found['num_test']} test images dense; then {found['epochs']} epochs on "
        f"{found['num_train']} images, mean and range of the seeds; {found['seconds'] / 60:.0f} minutes for all."
    )
    lines = [
        "| share of MACs | units | choice | sorting | MACs left | right after removal | trained |",
        "| " + "--- | " * 7,
    ]
    for entry in _in_order(_shown(found["entries"])):
        where = f"{100 * entry['share']:.0f} % | {PLACES[entry['prunes_residual']]} | {entry['name']}"
        sizes = f"{100 * entry['macs_share']:.1f} % | {entry['accuracy']:.1f} %"
        lines.append(f"| {where} | {entry['sorting']} | {sizes} | {_describe(entry.get('trained'))} |")
    return "\n".join([head, "", *(line.strip() for line in lines)])


def _shown(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that were trained, and the best of each other criterion in each place."""
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in sorted(entries, key=lambda entry: entry["accuracy"]):
        best[entry["share"], entry["prunes_residual"], entry["name"]] = entry
    return [entry for entry in entries if entry.get("trained") or entry in best.values()]


def _in_order(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Within each place the best first."""
    return sorted(entries, key=lambda entry: (-entry["share"], entry["prunes_residual"], -entry["accuracy"]))


def _describe(trained: list[float] | None) -> str:
    if not trained:
        return ""
    return f"{statistics.fmean(trained):.1f} % ({min(trained):.1f} to {max(trained):.1f})"
