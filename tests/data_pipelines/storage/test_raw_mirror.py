"""Raw data on other storage: copied once, kept equal to it, and prepared as if they lay on a disk."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs as pafs

from data_pipelines.images.config import ImageData
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.raw_mirror import exists, fetch, mirror_of, uri_of
from ray_jobs.cli import BAD_INPUT, DONE, main
from ray_jobs.settings.experiment import check_settings
from tests.image_fixtures import save_noise
from tests.s3_server import S3Server, set_credentials, started_s3_server

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with started_s3_server() as started:
        yield started


@pytest.fixture
def bucket(server, monkeypatch, tmp_path) -> Folder:
    """A folder of two classes of ten images."""
    set_credentials(monkeypatch)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    folder = Folder(server.uri(f"{tmp_path.name}/raw"))
    for number in range(20):
        file = tmp_path / "disk" / ("cat" if number % 2 else "dog") / f"{number}.png"
        save_noise(file, 8, 8, seed=number)
        folder.write(f"{file.parent.name}/{file.name}", file.read_bytes())
    return folder


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/a/b c",
        "s3://bucket/a?endpoint_override=http%3A%2F%2F127.0.0.1%3A9000&region=x",
        "gs://b",
        "hdfs:///x/y",
    ],
)
def test_a_uri_has_one_place_and_comes_back(uri):
    assert uri_of(mirror_of(uri)) == uri
    settings = ImageData(source="folder", path=uri, size=8)
    assert settings.path == mirror_of(uri) and json.loads(settings.model_dump_json())["path"] == uri
    assert ImageData.model_validate_json(settings.model_dump_json()) == settings
    assert uri_of(Path("/data/quintet-raw-0")) is None and uri_of(Path("/data/x")) is None


def test_a_folder_of_a_name_that_begins_alike_is_no_copy():
    assert uri_of(Path("/data/quintet-raw-photos/2024/cats")) is None


def test_a_run_is_the_same_wherever_its_raw_data_lie():
    runs = [
        check_settings(
            {
                "workload": {"name": "pruning", "data": {"source": "folder", "path": path, "size": 8}},
                "training": {"epochs": 1},
            },
            origin="test",
        ).run_id
        for path in ("/data", "s3://bucket/data")
    ]
    assert runs[0] == runs[1]


def test_credentials_in_a_uri_are_refused_and_not_repeated():
    with pytest.raises(ValueError, match="credentials do not belong in a path") as caught:
        ImageData.model_validate({"source": "folder", "path": "s3://me:secret@bucket/a", "size": 8})
    assert "me:secret" not in str(caught.value).replace("input_value=", "").split("[type=secret")[0]


def test_only_what_has_changed_is_copied_again(bucket, tmp_path):
    said: list[str] = []
    copy = mirror_of(bucket.uri)
    fetch(copy, said.append)
    files = sorted(path.relative_to(copy) for path in copy.rglob("*.png"))
    assert files == sorted(path.relative_to(tmp_path / "disk") for path in (tmp_path / "disk").rglob("*.png"))
    assert all((copy / file).read_bytes() == (tmp_path / "disk" / file).read_bytes() for file in files)
    assert said[-1].startswith(f"20 raw files of {bucket.uri} are copied to {copy} (")
    fetch(copy, said.append)
    assert len(said) == 1
    time.sleep(1.1)  # S3 tells times in seconds
    bucket.write("cat/1.png", (tmp_path / "disk/dog/0.png").read_bytes())
    bucket.delete("dog/2.png")
    fetch(copy, said.append)
    assert said[-1].startswith("1 raw files") and not (copy / "dog/2.png").exists()
    assert (copy / "cat/1.png").read_bytes() == (tmp_path / "disk/dog/0.png").read_bytes()


def test_what_is_not_there_is_named_by_its_uri(bucket):
    absent = mirror_of((bucket / "absent").uri)
    assert exists(mirror_of(bucket.uri)) and not exists(absent)
    with pytest.raises(ValueError, match=r"raw/absent\?.*: there is no such file or folder"):
        fetch(absent)


def test_raw_data_in_a_bucket_are_prepared_like_those_of_a_disk(bucket, server, tmp_path, capsys, monkeypatch):
    folders = []
    for place in (bucket.uri, str(tmp_path / "disk")):
        data = {"workload.data.source": "folder", "workload.data.path": place, "workload.data.size": "8"}
        settings = {**data, "storage.path": f"{tmp_path}/{len(folders)}"}
        words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        assert main(["prepare", "demo/pruning", *words, "--json"]) == DONE
        printed = capsys.readouterr().out
        folders.append(Folder(json.loads(printed.splitlines()[-1])["folder"]))
        assert ("20 raw files of s3://" in printed) == (len(folders) == 1)
    shards = [name for name in folders[0].names() if name.endswith(".parquet")]
    assert shards and all(folders[0].read(name) == folders[1].read(name) for name in shards)
    size = ["--set", "workload.data.size=8"]
    absent = ["--set", f"workload.data.path={(bucket / 'absent').uri}", "--set", f"storage.path={tmp_path}/2"]
    assert main(["prepare", "demo/pruning", "--set", "workload.data.source=folder", *size, *absent]) == BAD_INPUT
    assert "workload.data.path: there is no such file or folder: s3://" in capsys.readouterr().err
    assert isinstance(bucket.fs, pafs.S3FileSystem)
