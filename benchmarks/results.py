"""Where figures are kept: `benchmarks/results/<name>.json`, with the machine that they are of."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"


def save_results(name: str, figures: Any, *, keeps_others: bool = False) -> None:
    """Replace the file, or with `keeps_others` only the entries of `figures` in it."""
    import torch

    before = load_results(name) if keeps_others else None
    if before:
        figures = {**before["figures"], **figures}

    machine = {"cores": os.cpu_count(), "system": platform.system(), "torch": torch.__version__}
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    content = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "figures": figures}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def list_results() -> list[str]:
    """What was measured, by name."""
    return sorted(file.stem for file in RESULTS.glob("*.json"))


def load_results(name: str) -> dict[str, Any] | None:
    """`date`, `machine` and `figures`; None when it was not measured."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text()) if file.exists() else None
