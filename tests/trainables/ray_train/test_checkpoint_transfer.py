"""Checkpoints handed from one run to another."""

import torch

from data_pipelines.storage.folder import Folder
from trainables.engine.files.checkpoints import Checkpoint, find_checkpoint, load_checkpoint, write_checkpoint
from trainables.ray_train.search_trial import copy_newest_checkpoint, install_checkpoint


def save(folder, step):
    content = Checkpoint({"w": torch.full((2,), float(step))}, None, {"step": step}, b"rows")
    write_checkpoint(folder, step, content)


def test_a_handed_checkpoint_takes_the_place_of_all_others(tmp_path):
    donor, taker = Folder(str(tmp_path / "donor")), Folder(str(tmp_path / "taker"))
    for step in (5, 10):
        save(donor, step)
    for step in (8, 12):
        save(taker, step)
    assert copy_newest_checkpoint(donor, tmp_path / "copy")
    assert install_checkpoint(taker, tmp_path / "copy")
    name, damaged = find_checkpoint(taker)
    assert name is not None and not damaged
    assert taker.names("checkpoints") == ["step_000000010"]
    assert load_checkpoint(taker, name).model["w"].tolist() == [10.0, 10.0]
    assert len(donor.names("checkpoints")) == 2


def test_without_a_checkpoint_nothing_is_handed_over(tmp_path):
    donor, taker = Folder(str(tmp_path / "donor")), Folder(str(tmp_path / "taker"))
    save(taker, 8)
    assert not copy_newest_checkpoint(donor, tmp_path / "copy")
    assert not install_checkpoint(taker, tmp_path / "copy")
    assert taker.names("checkpoints") == ["step_000000008"]
