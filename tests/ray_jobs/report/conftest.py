"""Records written by hand: what a training would leave, without one."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_pipelines.storage.folder import Folder

SPEED = {"samples_per_s": 100.0, "step_s": 0.1, "data_wait_ratio": 0.01, "peak_memory_mib": 50.0}


def make_row(step: int, **metrics: float) -> dict[str, Any]:
    return {"step": step, "epoch": (step - 1) // 10 + 1, "train/loss": 1 / step, **metrics}


def make_event(step: int, **changes: Any) -> dict[str, Any]:
    event = {"time": 1000.0 + step, "epoch": step // 10 + 1, "step": step, "step_in_epoch": step % 10, "num_epochs": 3}
    return {**event, "num_steps": 30, "speed": SPEED, "system": {}, "is_finished": False, **changes}


def to_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def encode(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


def write_picture(
    folder: Folder, key: str, step: int, captions: Sequence[str] = (), content: bytes | None = None
) -> None:
    tiles = {"count": 1, "columns": 10, "height": 4, "width": 4, "gap": 2}
    panel = {"key": key, "step": step, "epoch": 1, "type": "images", "captions": list(captions), "tiles": tiles}
    folder.write_json(f"pictures/{key}/step_{step:09d}.json", panel)
    folder.write(f"pictures/{key}/step_{step:09d}.png", content or encode(np.full((8, 8), step, np.uint8)))


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Folder]:
    """Writes a run of 20 steps that has begun in `runs/NAME`; a keyword replaces what its files hold."""

    def write(
        name: str = "some-run",
        *,
        identity: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        rows: Sequence[dict[str, Any]] | None = None,
        events: Sequence[dict[str, Any]] | None = None,
        log: str = "",
    ) -> Folder:
        folder = Folder(str(tmp_path / "runs" / name))
        known = {"name": name, "wandb_id": "x", "started": "2026-01-01T10:00:00+00:00", "tags": [], "group": None}
        folder.write_json("run.json", {**known, "job_type": "train", **(identity or {})})
        folder.write_json("experiment.json", settings or {"workload": {"name": "toy", "width": 4}})
        folder.write_json("tracking.json", {"goal": "test/mse"})
        evaluated = {10: {"test/mse": 3.0, "baseline/test/mse": 4.0}, 20: {"test/mse": 2.0, "baseline/test/mse": 4.0}}
        folder.write("metrics.jsonl", to_lines(rows or [make_row(n, **evaluated.get(n, {})) for n in range(1, 21)]))
        folder.write(
            "events.jsonl", to_lines(events or [make_event(0, resumed_from=None), make_event(10), make_event(20)])
        )
        folder.write("train.log", log.encode())
        return folder

    return write
