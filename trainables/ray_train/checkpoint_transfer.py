"""Checkpoint transfer from one run to another, as population-based training does with its best trials."""

import shutil
from pathlib import Path

from data_pipelines.storage.checksums import MANIFEST, verify
from data_pipelines.storage.folder import Folder
from trainables.engine.files.checkpoints import find_checkpoint
from trainables.run_paths import CHECKPOINTS

ATTEMPTS = 20
"""The source run continues meanwhile, and may delete the checkpoint that is being copied."""


def copy_newest_checkpoint(run: Folder, target: Path) -> bool:
    """Copy the newest undamaged checkpoint of a run into a local folder, under its own name.

    Returns whether there is one. Raises RuntimeError when every attempt failed because the run deleted its checkpoint.
    """
    for _ in range(ATTEMPTS):
        name, _ = find_checkpoint(run)
        if name is None:
            return False
        copy = target / Path(name).name
        try:
            with run.local(name) as files:
                shutil.copytree(files, copy)
            return True
        except (FileNotFoundError, shutil.Error):
            shutil.rmtree(copy, ignore_errors=True)
    raise RuntimeError(f"{run}: no checkpoint stayed long enough to be copied; raise training.keep_checkpoints")


def install_checkpoint(run: Folder, source: Path) -> bool:
    """Make the checkpoint in a local folder the only one of a run, which then resumes it; returns whether there is one.

    Raises RuntimeError when the checkpoint is damaged.
    """
    copies = sorted(source.iterdir()) if source.is_dir() else []
    for copy in copies:
        damage = verify(copy)
        if damage:
            raise RuntimeError(f"the checkpoint copied to {run} is damaged: {damage}")
        with run.new_folder(f"{CHECKPOINTS}/{copy.name}") as files:
            for file in copy.iterdir():
                if file.name != MANIFEST:  # written again by `new_folder`
                    shutil.copy2(file, files / file.name)
        for other in run.names(CHECKPOINTS):
            if other != copy.name:
                run.delete(f"{CHECKPOINTS}/{other}")
    return bool(copies)
