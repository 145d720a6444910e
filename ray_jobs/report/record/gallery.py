"""Pictures of a run that a page shows: of every key the newest, the first and some between, within a size."""

import base64
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from PIL import Image

from data_pipelines.storage.folder import Folder
from trainables.run_paths import PICTURES, find_panels, step_of

BUDGET_BYTES = 6_000_000
"""Most bytes of all pictures of a page together; in the page they take a third more."""
LIMITS = {"images": 8, "video": 3}
"""Most pictures of each key, by type; other types are not shown."""
LARGE_BYTES, LARGE_SIDE = 400_000, 1400
"""A PNG picture of more bytes is reduced to this side, in pixels, with a loss that is hard to see."""
TYPES = {".png": "image/png", ".gif": "image/gif", ".mp4": "video/mp4", ".webp": "image/webp"}


@dataclass(frozen=True)
class Picture:
    """Picture or video, ready to be put into a page."""

    step: int
    epoch: int
    captions: Sequence[str]
    columns: int
    """Columns of the grid that the captions belong to."""
    uri: str
    width: int
    """Width in pixels; 0 when it is not known."""
    is_video: bool = False
    is_reduced: bool = False


@dataclass(frozen=True)
class Gallery:
    """Pictures of one key, newest first."""

    key: str
    folder: str
    """The folder of all of them, in the run's folder."""
    pictures: Sequence[Picture]
    num_all: int


class Budget:
    """Budget of bytes that may still be used."""

    def __init__(self, num_bytes: int = BUDGET_BYTES):
        self.left = num_bytes

    def take(self, content: bytes) -> bool:
        """Use bytes for some content, if there is room for them; returns whether there was."""
        has_room = len(content) <= self.left
        self.left -= len(content) if has_room else 0
        return has_room


def gather_galleries(folder: Folder, until_step: int, budget: Budget) -> list[Gallery]:
    """Read the pictures of every key; in the budget the newest picture of each comes before the second of any."""
    names: dict[str, list[str]] = defaultdict(list)
    for name in find_panels(folder, until_step=until_step):
        names[str(PurePosixPath(name).parent)].append(name)
    newest = {key: folder.read_json(descriptions[-1]) for key, descriptions in names.items()}
    shown = {key: panel for key, panel in newest.items() if panel["type"] != "table"}
    limits = {key: LIMITS.get(panel["type"], 0) for key, panel in shown.items()}
    wishes = {key: choose(names[key], limits[key]) for key in shown}
    found: dict[str, list[Picture]] = {key: [] for key in shown}
    for turn in range(max(LIMITS.values())):
        for key, chosen in wishes.items():
            found[key] += _load(folder, chosen[turn], budget) if turn < len(chosen) else ()
    return [
        Gallery(shown[key]["key"], key, sorted(pictures, key=lambda one: -one.step), len(names[key]))
        for key, pictures in found.items()
    ]


def choose(names: Sequence[str], limit: int) -> list[str]:
    """Choose the last name, the first, and some evenly between, in that order."""
    if not limit:
        return []
    if len(names) > limit:
        names = [names[round(index * (len(names) - 1) / (limit - 1))] for index in range(limit)]
    return [names[-1], *names[:-1]]


def _load(folder: Folder, description: str, budget: Budget) -> Iterator[Picture]:
    panel: Mapping[str, Any] = folder.read_json(description)
    is_video = panel["type"] == "video"
    name = f"{description.removesuffix('.json')}.{panel['form'] if is_video else 'png'}"
    if not folder.exists(name):
        return
    content, ending, width = shrink(folder.read(name), PurePosixPath(name).suffix)
    if not budget.take(content):
        return
    yield Picture(
        step=step_of(description),
        epoch=panel["epoch"],
        captions=panel["captions"],
        columns=min(panel.get("tiles", {}).get("columns", 1), max(len(panel["captions"]), 1)),
        uri=to_uri(content, ending),
        width=width,
        is_video=ending == ".mp4",
        is_reduced=ending == ".webp",
    )


def shrink(content: bytes, ending: str) -> tuple[bytes, str, int]:
    """Return content, ending and width of a picture; a large PNG is made smaller. Animations stay as they are."""
    if ending == ".mp4":
        return content, ending, 0
    image = Image.open(io.BytesIO(content))
    if ending != ".png" or len(content) <= LARGE_BYTES:
        return content, ending, image.width
    image.thumbnail((LARGE_SIDE, LARGE_SIDE))
    smaller = io.BytesIO()
    image.convert("RGB").save(smaller, "webp", quality=88)
    return smaller.getvalue(), ".webp", image.width


def to_uri(content: bytes, ending: str) -> str:
    """Return the content as a data URI, which is part of the page."""
    return f"data:{TYPES[ending]};base64,{base64.b64encode(content).decode()}"


def read_cell(folder: Folder, name: str, budget: Budget) -> str | None:
    """Read a picture in a table as a data URI; None for other cells, a missing file, and one beyond the budget."""
    is_picture = name.startswith(f"{PICTURES}/") and name.endswith(".png") and ".." not in name
    if not is_picture or not folder.exists(name):
        return None
    content, ending, _ = shrink(folder.read(name), ".png")
    return to_uri(content, ending) if budget.take(content) else None
