"""What a run's folder holds, as objects of W&B: pictures, tables, models, inputs; and models of other runs from W&B."""

import io
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.inputs import Input
from trainables.run_paths import METADATA, MODELS, PICTURES, load_aliases, step_of

Panel = dict[str, Any]


def read_media(folder: Folder, description: str) -> dict[str, Any]:
    """Return the W&B values of one panel by key. A table holds the rows of all steps up to its own.

    Raises OSError, KeyError or ValueError when the files are not what they should be.
    """
    panel = folder.read_json(description)
    match panel["type"]:
        case "images":
            return {panel["key"]: read_images(folder, description, panel)}
        case "table":
            return {panel["key"]: read_table(folder, panel)}
        case "video":
            return {panel["key"]: read_video(folder, description, panel)}
        case "histograms":
            return {key: read_histogram(histogram) for key, histogram in panel["histograms"].items()}
        case other:
            raise ValueError(f"{description}: {other!r} is no kind of panel")


def read_images(folder: Folder, description: str, panel: Panel) -> list[Any]:
    """Return one wandb.Image for each picture of the grid, in order."""
    import wandb

    grid = _open(folder, description.removesuffix(".json") + ".png")
    captions = panel["captions"] or [None] * panel["tiles"]["count"]
    tiles = zip(cut_grid(grid, panel["tiles"]), captions, strict=True)
    return [wandb.Image(tile, caption=caption) for tile, caption in tiles]


def cut_grid(grid: Image.Image, tiles: dict[str, int]) -> Iterator[Image.Image]:
    """Yield the pictures of which `trainables.engine.files.panel_files.draw_grid` made a grid."""
    columns, height, width, gap = (tiles[name] for name in ("columns", "height", "width", "gap"))
    columns = min(columns, tiles["count"])
    first_top, first_left = (tiles.get(name, 0) + gap for name in ("top", "left"))
    for index in range(tiles["count"]):
        top, left = first_top + (index // columns) * (height + gap), first_left + (index % columns) * (width + gap)
        yield grid.crop((left, top, left + width, top + height))


def read_table(folder: Folder, panel: Panel) -> Any:
    """Return a wandb.Table of the rows of all steps up to the panel's."""
    import wandb

    names = folder.find(f"{PICTURES}/{panel['key']}", ".json")
    earlier = [folder.read_json(name) for name in names if step_of(name) <= panel["step"]]
    rows: list[Any] = [[_cell(folder, cell) for cell in row] for part in earlier for row in part["rows"]]
    return wandb.Table(columns=panel["columns"], data=rows)


def _cell(folder: Folder, cell: Any) -> Any:
    import wandb

    return wandb.Image(_open(folder, cell["image"])) if isinstance(cell, dict) else cell


def read_video(folder: Folder, description: str, panel: Panel) -> Any:
    """Return a wandb.Video of the animation beside the description."""
    import wandb

    form = panel["form"]
    content = io.BytesIO(folder.read(f"{description.removesuffix('.json')}.{form}"))
    return wandb.Video(content, caption="  ".join(panel["captions"]) or None, format=form)


def read_histogram(histogram: dict[str, list[float]]) -> Any:
    """Return a wandb.Histogram of counts and edges."""
    import wandb

    return wandb.Histogram(np_histogram=(np.array(histogram["counts"]), np.array(histogram["edges"])))


def _open(folder: Folder, name: str) -> Image.Image:
    image = Image.open(io.BytesIO(folder.read(name)))
    image.load()
    return image


def named_models(folder: Folder) -> dict[str, list[str]]:
    """Return the model versions that the run keeps, oldest first, each with its aliases."""
    known = load_aliases(folder)
    versions = {version for version in (known["latest"], known["best"], *known["kept"]) if version}
    return {version: [alias for alias in ("latest", "best") if known[alias] == version] for version in sorted(versions)}


def log_model(run: Any, name: str, files: Path, aliases: list[str]) -> None:
    """Send one model version as an artifact.

    `files` is the folder that `keep_files` made, named like the version; `aliases` are those besides `step-N` and
    `epoch-N`.
    """
    import wandb

    metadata = Folder(str(files)).read_json(METADATA)
    kept = {key: value for key, value in metadata.items() if key not in ("workload", "data_spec", "facts")}
    artifact = wandb.Artifact(name, type="model", metadata=kept)  # the workload is in the config too
    for file in sorted(files.iterdir()):
        artifact.add_file(str(file), name=file.name, policy="immutable", skip_cache=True)
    run.log_artifact(artifact, aliases=[*aliases, f"step-{step_of(files.name)}", f"epoch-{metadata['epoch']}"])


def keep_files(folder: Folder, version: str, staging: Path) -> Path:
    """Copy a version's files to where they stay until they are sent, also when the run drops the version.

    The copies are hard links where the file system has them, so that nothing is stored twice. The copy is made in the
    folder `staging`, under the version's name, and returned.

    Raises:
        FileNotFoundError: The version is not, or no longer, there.
    """
    target = staging / version
    target.mkdir(parents=True, exist_ok=True)
    with folder.local(f"{MODELS}/{version}") as source:
        for file in source.iterdir():
            if (target / file.name).exists():
                continue
            try:
                os.link(file, target / file.name)
            except OSError:  # another file system
                shutil.copy2(file, target / file.name)
    return target


def use_input(run: Any, item: Input) -> None:
    """Record an input of the run: the manifest of prepared data, or a reference to a file."""
    import wandb

    artifact = wandb.Artifact(re.sub(r"[^A-Za-z0-9_.-]", "_", item["name"]), item["type"], metadata=item["metadata"])
    if "://" in item["path"]:  # the manifest of prepared data, as other inputs lie on a disk
        with artifact.new_file("manifest.json", mode="wb") as file:
            file.write(Folder(item["path"]).read(""))
    elif Path(item["path"]).name == "manifest.json":
        artifact.add_file(item["path"])
    else:
        artifact.add_reference(Path(item["path"]).absolute().as_uri(), checksum=False)
    run.use_artifact(artifact)


def download_artifact(reference: str, into: Path) -> Path:
    """Download an artifact; returns its folder. Raises ValueError, with a message for the user, when that fails."""
    name = reference.removeprefix("wandb:")
    if not re.fullmatch(r"[^/:\s]+/[^/:\s]+/[^/:\s]+:[^/:\s]+", name):
        raise ValueError(f"{reference!r}: write it as wandb:team/project/name:alias, for example ...:best")
    try:
        import wandb

        artifact = wandb.Api(timeout=20).artifact(name)
        folder = into / f"{artifact.name.replace(':', '-')}-{artifact.digest[:8]}"
        artifact.download(root=str(folder), skip_cache=True)
    except ImportError as error:
        raise ValueError(f"{reference!r} needs the package wandb: {error}") from error
    except Exception as error:  # containment: W&B raises anything, and the user asked for this artifact
        raise ValueError(f"{reference!r} cannot be had from W&B: {type(error).__name__}: {error}") from error
    return folder
