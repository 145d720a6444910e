"""Shards made by the machines of a Ray cluster: the same folder, warnings and refusals as from one process."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.contract.config import OnBadFile
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.making import shard_writer
from data_pipelines.prepared.making.shard_cluster import make_on_cluster
from data_pipelines.prepared.making.shard_plan import MadeShard
from data_pipelines.prepared.prepare import prepare
from data_pipelines.storage.folder import Folder

pytestmark = pytest.mark.ray


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty images, two of them damaged; each of the others is warned of."""
    monkeypatch.setattr(shard_writer, "WORTH_S", 0.0)
    for number in range(40):
        file = tmp_path / "raw" / ("cat" if number % 2 else "dog") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), 100 + number, np.uint16)).save(file)
    for name in ("cat/7.png", "dog/30.png"):
        (tmp_path / "raw" / name).write_bytes(b"no picture")
    return tmp_path / "raw"


def pipeline_of(raw: Path, on_bad_file: OnBadFile = "skip") -> ImagePipeline:
    return ImagePipeline(ImageData(source="folder", path=raw, size=8, channels=1, on_bad_file=on_bad_file))


def test_a_cluster_writes_the_same_folder_and_warnings(raw, tmp_path, ray_cluster, caplog):
    warnings.simplefilter("ignore")  # Ray warns about its own deprecated parts
    said, elsewhere, calls = [], list[MadeShard](), list[tuple[int, int]]()

    def make(*arguments):
        for made in make_on_cluster(*arguments):
            elsewhere.append(made)
            yield made

    for name, maker in (("here", None), ("cluster", make)):
        caplog.clear()
        prepare(
            pipeline_of(raw),
            Folder(str(tmp_path / name)),
            rows_per_shard=2,
            num_processes=None if maker else 1,
            make_elsewhere=maker,
            on_progress=lambda *call: calls.append(call),
        )
        own = [record for record in caplog.records if not record.name.startswith("ray")]  # Ray Data tells of its work
        said.append([record.getMessage().replace(str(tmp_path / name), "") for record in own])
        assert calls[-1] == (40, 40)
    here, there = (
        {file.name: file.read_bytes() for file in (tmp_path / name).glob("*.*")} for name in ("here", "cluster")
    )
    assert here == there and len(here) >= 15 and len(elsewhere) >= 15
    assert said[0] == said[1] and any("has 16-bit grey levels" in words for words in said[0])


def test_damaged_files_and_unseen_ones_are_named(raw, tmp_path, ray_cluster, monkeypatch):
    warnings.simplefilter("ignore")  # as above
    with pytest.raises(ValueError, match=r"2 files cannot be used(.|\n)*cat/7\.png(.|\n)*dog/30\.png"):
        prepare(
            pipeline_of(raw, "refuse"), Folder(str(tmp_path / "a")), rows_per_shard=2, make_elsewhere=make_on_cluster
        )

    def make_without_raw(*arguments):
        tables = make_on_cluster(*arguments)
        monkeypatch.setattr(ImagePipeline, "raw_files", lambda pipeline: (tmp_path / "gone/1.png",))
        yield from tables

    with pytest.raises(ValueError, match=r"the machine \S+ does not see .*gone/1\.png; let all machines"):
        prepare(pipeline_of(raw), Folder(str(tmp_path / "b")), rows_per_shard=2, make_elsewhere=make_without_raw)
