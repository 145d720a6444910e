"""The table of the comparison with Torch-Pruning."""

import statistics
from typing import Any

PEER = "Torch-Pruning"
PLACES = {False: "inside the blocks", True: "residual streams too"}


def format_table(figures: dict[str, Any]) -> str:
    """Accuracies right after removal of all criteria, and after training of the best of each side."""
    return "\n\n".join(_format_network(arch, found) for arch, found in figures.items())


def _format_network(arch: str, found: dict[str, Any]) -> str:
    head = (
        f"{arch}: {found['dense']:.1f} % of {found['num_test']} test images dense; then {found['epochs']} epochs on "
        f"{found['num_train']} images, mean and range of the seeds; {found['seconds'] / 60:.0f} minutes for all."
    )
    lines = ["| share of MACs | units | choice | MACs left | right after removal | trained |", "| " + "--- | " * 6]
    for entry in _in_order(found["entries"]):
        where = f"{100 * entry['share']:.0f} % | {PLACES[entry['prunes_residual']]}"
        sizes = f"{100 * entry['macs_share']:.1f} % | {entry['accuracy']:.1f} %"
        lines.append(f"| {where} | {entry['name']} | {sizes} | {_describe(entry.get('trained'))} |")
    return "\n".join([head, "", *(line.strip() for line in lines)])


def _in_order(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Within each place the best first."""
    return sorted(entries, key=lambda entry: (-entry["share"], entry["prunes_residual"], -entry["accuracy"]))


def _describe(trained: list[float] | None) -> str:
    if not trained:
        return ""
    return f"{statistics.fmean(trained):.1f} % ({min(trained):.1f} to {max(trained):.1f})"
