"""The page of each workload in Chromium: a file is dropped, or the button pressed, and the answer is seen."""

import asyncio
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ray_jobs.exit_codes import DONE
from tests.data_pipelines.heart_sounds.heart_files import write_wav
from tests.ray_jobs.app.browser import CHROMIUM, opened_page
from tests.saved_models import save_tiny
from trainables.pictures.animation import encode_mp4

HAS_GRADIO = importlib.util.find_spec("gradio") is not None
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HAS_GRADIO, reason="needs Gradio: make test-app"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
IMAGES = "[...document.querySelectorAll('figure img')]"
TEXT = "document.body.innerText"


def write_picture(file: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


def write_clip(file: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 24, 32, 3), dtype=np.uint8)
    file.write_bytes(encode_mp4(list(frames), 4.0))


CASES: dict[str, tuple[str, Callable[[Path], None] | None, str]] = {
    "pruning": ("a.png", write_picture, f"{TEXT}.includes('Probabilities') || {TEXT}.includes('p(0)')"),
    "super_resolution": ("a.png", write_picture, f"{IMAGES}.length == 3"),
    "heart_sound_finetune": ("a.wav", write_wav, f"{TEXT}.includes('signal_quality') && {IMAGES}.length == 1"),
    "video_prediction": ("a.mp4", write_clip, f"{IMAGES}.length > 0"),
    "flow_matching": ("", None, f"{IMAGES}.length > 0"),
}
"""The file that is dropped, how it is made, and what is true of the page with the answer."""


@pytest.mark.parametrize("workload", CASES)
def test_the_page_of_each_workload_answers(workload, tmp_path):
    name, write, is_answered = CASES[workload]
    if write is write_clip:
        pytest.importorskip("av")
    if write is not None:
        write(tmp_path / name)
    words = ["app", save_tiny(tmp_path / "run", workload), "--no-browser"]
    settings = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_jobs", *words], stdout=subprocess.PIPE, text=True, env=settings
    )
    assert process.stdout is not None
    with process.stdout as output:
        try:
            address = output.readline().partition(" ")[0]
            asyncio.run(_answer(address, tmp_path, name, is_answered))
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == DONE


async def _answer(address: str, folder: Path, name: str, is_answered: str) -> None:
    async with opened_page(address, folder / "profile") as tab:
        await tab.wait_for("document.querySelector('button.primary') !== null")
        if name:
            await tab.wait_for("document.querySelector('input[type=file]') !== null")
            await tab.drop([folder / name])
        else:
            await tab.evaluate("document.querySelector('button.primary').click()")
        await tab.wait_for(is_answered)
        await tab.wait_for(f"{IMAGES}.every(image => image.complete && image.naturalWidth > 0)")
        assert not [url for url in tab.requested if not url.startswith((address, "data:", "blob:"))]
        assert "Not done" not in await tab.evaluate(TEXT)
