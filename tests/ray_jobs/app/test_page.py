"""The page as it is served, by HTTP and in Chromium. Skipped without Gradio; `make test-app` installs it."""

import asyncio
import importlib.util
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from ray_jobs.exit_codes import DONE
from tests.ray_jobs.app.browser import CHROMIUM, opened_page
from tests.saved_models import save_tiny

HAS_GRADIO = importlib.util.find_spec("gradio") is not None
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not HAS_GRADIO, reason="needs Gradio: make test-app")]

RECORDER = """
import os, socket
look_up = socket.getaddrinfo
def record(host, *rest, **more):
    with open(os.environ["HOSTS"], "a") as file:
        print(host, file=file)
    return look_up(host, *rest, **more)
socket.getaddrinfo = record
"""
"""Writes down each host that a process looks up."""
BEGUN = {
    "scale": "3",
    "tile_size": "",
    "overlap": "",
    "self_ensemble": False,
    "back_projections": "0",
    "compare": True,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a model, and temporary files of the server in `temporary`."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "temporary").mkdir()
    (folder / "sitecustomize.py").write_text(RECORDER)
    return folder


@pytest.fixture(scope="module")
def address(place) -> Iterator[str]:
    """Of the page of a model, with `--scale 3`; the command ends on request, and deletes all that was dropped."""
    words = ["app", save_tiny(place, "super_resolution"), "--no-browser", "--scale", "3"]
    settings = {"PYTHONPATH": f"{place}{os.pathsep}{os.getcwd()}", "HOSTS": str(place / "hosts")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ray_jobs", *words],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings, "TMPDIR": str(place / "temporary")},
    )
    assert process.stdout is not None
    with process.stdout as output:
        try:
            line = output.readline()
            yield line.partition(" ")[0]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == DONE
    assert not list((place / "temporary").glob("quintet-app-*"))


@pytest.fixture
def picture(tmp_path) -> Path:
    file = tmp_path / "a.png"
    Image.new("RGB", (10, 8), "red").save(file)
    return file


def predict(address: str, *files: Path, **options: Any) -> list[Any]:
    """Call the page as a browser does: message, probabilities, table and pictures."""
    dropped: list[dict[str, Any]] = []
    for file in files:
        answer = httpx.post(f"{address}gradio_api/upload", files={"files": (file.name, file.read_bytes())})
        dropped.append({"path": answer.raise_for_status().json()[0], "meta": {"_type": "gradio.FileData"}})
    values = [dropped, *{**BEGUN, **options}.values()]
    call = f"{address}gradio_api/call/predict"
    event = httpx.post(call, json={"data": values}).raise_for_status().json()["event_id"]
    lines = httpx.get(f"{call}/{event}", timeout=60).text.splitlines()
    assert "event: complete" in lines, lines
    return json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))


def read_links(address: str, html: str) -> dict[str, bytes]:
    links = re.findall(r'<a href="/([^"]+)" download>([^<]+)</a>', html)
    return {name: httpx.get(f"{address}{link}").raise_for_status().content for link, name in links}


def test_a_dropped_picture_is_answered(address, picture):
    message, classes, table, figures = predict(address, picture)
    assert not message["visible"] and not classes["visible"] and figures["visible"]
    assert ["scale", "3"] in table["value"]["data"]
    files = read_links(address, figures["value"])
    assert list(files) == ["predictions.csv", "a.png_x3.png", "compare/a.png_x3.png"]
    assert Image.open(io.BytesIO(files["a.png_x3.png"])).size == (30, 24)
    shown = re.findall(r'<img src="/([^"]+)"', figures["value"])
    assert [httpx.get(address + each).headers["content-type"] for each in shown] == ["image/png"] * 3


def test_options_are_those_of_the_fields(address, picture):
    figures = predict(address, picture, scale="2", compare=False)[-1]
    assert "a.png_x2.png" in figures["value"] and "compare" not in figures["value"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scale": "5"}, "option scale: 5; the model was trained for 2, 3"),
        ({"back_projections": "many"}, "option back_projections: Input should be a valid integer"),
    ],
)
def test_wrong_options_are_named_and_the_page_lives_on(address, picture, change, words):
    message, *others = predict(address, picture, **change)
    assert message["visible"] and words in message["value"] and not any(each["visible"] for each in others)
    assert predict(address, picture)[-1]["visible"]


def test_bad_files_are_named_and_the_page_lives_on(address, picture, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    message, _, table, _ = predict(address, picture, tmp_path / "bad.png")
    assert "bad.png: is of an unknown kind" in message["value"] and table["visible"]
    assert "there is no file yet" in predict(address)[0]["value"]
    assert predict(address, picture)[-1]["visible"]


def test_only_this_machine_by_its_own_name_is_served(address):
    assert address.startswith("http://127.0.0.1:")
    assert httpx.get(address, headers={"host": "elsewhere.example"}).status_code == 400


def test_files_beside_the_results_are_not_served(address, tmp_path):
    (tmp_path / "private.txt").write_text("private")
    assert httpx.get(f"{address}gradio_api/file={tmp_path}/private.txt").status_code == 403


def test_the_server_looks_up_nothing_but_itself(address, place, picture):
    predict(address, picture)
    assert set((place / "hosts").read_text().split()) <= {"127.0.0.1", "localhost"}
    page = httpx.get(address).text
    assert '"analytics_enabled":false' in page and '"run_history":false' in page


def test_a_port_that_is_taken_is_named(address, place):
    port = address.rstrip("/").rpartition(":")[2]
    words = ["app", str(place), "--no-browser", "--port", port]
    ended = subprocess.run([sys.executable, "-m", "ray_jobs", *words], capture_output=True, text=True, timeout=120)
    assert ended.stderr.splitlines()[-1].startswith(f"error: --port {port} cannot be used; give another")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_answer_and_asks_no_other_server(address, picture, tmp_path):
    async def look() -> tuple[str, list[int], list[str]]:
        async with opened_page(address, tmp_path / "profile") as tab:
            await tab.wait_for("document.querySelector('input[type=file]') !== null")
            await tab.drop([picture])
            images = "[...document.querySelectorAll('figure img')]"
            await tab.wait_for(f"{images}.length == 3 && {images}.every(image => image.complete)")
            widths = await tab.evaluate(f"{images}.map(image => image.naturalWidth)")
            return await tab.evaluate("document.body.innerText"), widths, tab.requested

    text, widths, requested = asyncio.run(look())
    assert "Results in full form" in text and "Also write each result beside the bicubic enlargement" in text
    assert widths == [250, 240, 204]  # small pictures are shown with several pixels for one
    assert requested and not [url for url in requested if not url.startswith((address, "data:", "blob:"))]
